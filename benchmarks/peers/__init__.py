"""floodseg beside other tools that map a scene with a network."""
