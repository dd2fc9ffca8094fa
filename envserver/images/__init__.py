"""Building the project's images on a host with a Docker Engine, and handing them to a node."""
