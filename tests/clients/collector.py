"""A collector of OpenTelemetry with the official protobuf classes. Usage: collector.py FILE, where its URL is written.

It takes traces at /v1/traces and refuses what is not exactly an export request. GET / answers what it got.
"""

import http.server
import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

received = {"spans": 0, "names": [], "faults": []}


def faults(request):
    """Returns what is wrong with a parsed request."""
    if len(UnknownFieldSet(request)) > 0:
        yield "unknown fields"
    for resource in request.resource_spans:
        names = {attribute.key for attribute in resource.resource.attributes}
        if "service.name" not in names:
            yield f"no service.name in {names}"
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            if len(span.trace_id) != 16 or not any(span.trace_id):
                yield f"trace id {span.trace_id!r}"
            if len(span.span_id) != 8 or not any(span.span_id):
                yield f"span id {span.span_id!r}"
            if len(span.parent_span_id) not in (0, 8):
                yield f"parent {span.parent_span_id!r}"
            if not span.name or not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
                yield f"span {span.name!r} from {span.start_time_unix_nano} to {span.end_time_unix_nano}"


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer("application/json", json.dumps(received).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if (self.path, self.headers["content-type"]) != ("/v1/traces", "application/x-protobuf"):
            received["faults"].append(f"{self.path} {self.headers['content-type']}")
        try:
            request = ExportTraceServiceRequest.FromString(body)
        except Exception as error:  # any fault of the parser
            received["faults"].append(str(error))
            return self.answer("text/plain", b"", 400)
        received["faults"].extend(faults(request))
        spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
        received["spans"] += len(spans)
        received["names"] = sorted(set(received["names"]) | {span.name for span in spans})
        self.answer("application/x-protobuf", ExportTraceServiceResponse().SerializeToString())

    def answer(self, content_type, body, status=200):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
with open(sys.argv[1], "w", encoding="ascii") as file:
    file.write(f"http://127.0.0.1:{server.server_port}\n")
server.serve_forever()
