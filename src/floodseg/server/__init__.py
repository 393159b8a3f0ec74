"""Local web app: shows finished maps in the browser and starts new ones."""
