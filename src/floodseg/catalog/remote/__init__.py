"""Reading of parts of files on a server: signed requests with retries, and windows of GeoTIFFs."""
