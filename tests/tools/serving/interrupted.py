"""The source of a job that deploys a bento which is none, and stops at a point; and of the service that stands in."""

SOURCE = '''
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GATES = Path(__file__).parents[3]


def passed(gate):
    """Say that this was reached, and wait until it may go on."""
    (GATES / f"{gate}.reached").touch()
    while not (GATES / f"{gate}.open").exists():
        time.sleep(0.01)


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tag = ""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if "X-Held" in self.headers:
            passed("held")
        said = json.dumps({"bento": self.tag, "mark": os.environ["MLOPS_ENDPOINT_MARK"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format, *args):
        pass


def main(place, tag, *more):
    if not os.fork():  # a worker, which the death of its master does not end
        while True:
            time.sleep(600)
    Service.tag = tag
    ThreadingHTTPServer(("127.0.0.1", int(more[more.index("--port") + 1])), Service).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
else:
    from pydantic import BaseModel

    from mlops_mcp.tools.serving import client, deploying, processes
    from mlops_mcp.tools.serving.bentos import Bento
    from mlops_mcp.tools.serving.models import Canary, Deployed, DeployRequest, Resources, ServiceSpec
    from mlops_mcp.tools.serving.processes import Plan, free_ports
    from mlops_mcp.tools.serving.proxy import handle

    # Where it is stopped: a function, and whether before it or after it.
    POINTS = {
        "loaded": (processes, "_spawn", False),
        "starting": (processes, "_wait_ready", True),
        "ready": (processes, "_wait_ready", False),
        "weights": (handle, "reread", True),
        "draining": (handle, "drained", True),
    }

    class Request(BaseModel):
        bento: str
        endpoint: str = "credit"
        point: str = ""

    def deploy(work, request: Request) -> Deployed:
        work.afterwards(client.forget_unfinished, request.endpoint)
        processes.MASTER = __name__
        if request.point:
            stop_at(*POINTS[request.point])
        canary = Canary(steps=[50]) if request.point == "weights" else None
        spec = ServiceSpec.model_construct(name="credit", version=request.bento, model_handle="")
        wanted = DeployRequest(
            bento=f"bento:credit:{request.bento}", endpoint=request.endpoint, replicas=1, resources=Resources(),
            percent=100, canary=canary,
        )
        plan = Plan(request.endpoint, Bento(spec, work.home), 1, 1, 0)
        return deploying.deployed(work, wanted, plan, free_ports())

    def stop_at(module, name, before):
        function = getattr(module, name)

        def stopping(*arguments, **named):
            if before:
                passed("point")
            found = function(*arguments, **named)
            if not before:
                passed("point")
            return found

        setattr(module, name, stopping)
'''
