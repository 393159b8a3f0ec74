"""Programs that map one scene, one for each row. The command line has the scene, the weights and the output folder."""
