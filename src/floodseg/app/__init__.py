"""Command line: each command parses its flags and calls one public function."""
