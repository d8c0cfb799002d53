"""Reads a compose file by the words of the compose specification; what is wrong ends it. Arguments: the file, and its services."""

import pathlib
import re
import sys

from compose_spec import PyCompose

text = pathlib.Path(sys.argv[1]).read_text()
services = PyCompose.from_yaml(text).service_names()
if sorted(services) != sys.argv[2:]:
    sys.exit(f"unexpected services: {services}")
# A default would stay when somebody sets TICKER_NETWORK alone. The program knows the Horizon of each network.
for value in re.findall(r"^ *(?:- *)?[\"']?HORIZON_URL *[:=] *(.*?) *(?:#.*)?$", text, re.MULTILINE):
    if value.strip("\"'") != "${HORIZON_URL:-}":
        sys.exit(f"HORIZON_URL has a value of its own: {value}")
