"""Reads a compose file by the words of the compose specification; what is wrong ends it. Arguments: the file, and its services."""

import pathlib
import sys

from compose_spec import PyCompose

services = PyCompose.from_yaml(pathlib.Path(sys.argv[1]).read_text()).service_names()
if sorted(services) != sys.argv[2:]:
    sys.exit(f"unexpected services: {services}")
