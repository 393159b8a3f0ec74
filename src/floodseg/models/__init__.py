"""Networks for radar, optical and both: dB and reflectance in, logits for land and water out."""
