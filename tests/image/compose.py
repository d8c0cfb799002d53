"""Reads a compose file by the words of the compose specification; what is wrong ends it."""

import pathlib
import sys

from compose_spec import PyCompose

services = PyCompose.from_yaml(pathlib.Path(sys.argv[1]).read_text()).service_names()
if sorted(services) != ["postgres", "ticker"]:
    sys.exit(f"unexpected services: {services}")
