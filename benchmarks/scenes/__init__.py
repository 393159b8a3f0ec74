"""Maps of whole scenes: seams, real places, many scenes."""
