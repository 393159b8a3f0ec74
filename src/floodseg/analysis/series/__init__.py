"""Time series of flood maps: water frequency, dates and duration of flooding, monthly reference water."""
