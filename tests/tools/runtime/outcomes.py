"""Jobs of every kind that has ever been hard to end, as a slice of its own that job processes can import."""

SOURCE = """
import ctypes, os, subprocess, sys, time
from pathlib import Path
from pydantic import BaseModel

class Request(BaseModel):
    folder: str
    name: str = "a"
    gate: str = ""

class Result(BaseModel):
    name: str
    total: float = 0

def note(request, text):
    with open(Path(request.folder) / "log", "a") as log: log.write(f"{text} {request.name} {time.time()}\\n")

def wait_for(path):
    while not Path(path).exists(): time.sleep(0.01)

def loop(work, request: Request) -> Result:
    work.keep(Result(name="kept", total=7))
    note(request, "start")
    work.progress(1, 3, "looping", best=0.5)
    number = 0
    while not (request.gate and os.path.exists(request.gate)): number += 1
    note(request, "end")
    return Result(name="looped")

def boost(work, request: Request) -> Result:
    import numpy, xgboost
    values = numpy.random.default_rng(0).normal(size=(3000, 10))
    data = xgboost.DMatrix(values, label=values[:, 0])
    work.keep(Result(name="kept", total=7))
    note(request, "start")
    xgboost.train({"max_depth": 12, "nthread": 1}, data, num_boost_round=100000)
    return Result(name="boosted")

def sleep(work, request: Request) -> Result:
    work.keep(Result(name="kept", total=7))
    note(request, "start")
    ctypes.PyDLL(None).sleep(600)  # PyDLL: holds the interpreter all the time
    return Result(name="slept")

def family(work, request: Request) -> Result:
    work.keep(Result(name="kept", total=7))
    pids = Path(request.folder) / "family"
    said = f"print(os.getpid(), file=open({str(pids)!r}, 'a'), flush=True)"
    child = f"import os, time; os.setsid(); {said}; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", child])
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    subprocess.Popen([sys.executable, "-c", orphan]).wait()
    if os.fork() == 0:
        os.setsid()
        print(os.getpid(), file=open(pids, "a"), flush=True)
        time.sleep(600)
    while not pids.exists() or len(pids.read_text().split()) < 3: time.sleep(0.01)
    note(request, "start")
    wait_for(request.gate or "/never")
    return Result(name="family")

def once_more(work, request: Request) -> Result:
    first = Path(request.folder) / "first"
    if not first.exists():
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        first.touch()
        note(request, "start")
        wait_for("/never")
    note(request, "again")
    return Result(name="second")

def at_once(work, request: Request) -> Result: return Result(name=request.name)

def short(work, request: Request) -> Result:
    note(request, "start")
    time.sleep(0.05)
    note(request, "end")
    return Result(name=request.name)

def steps(work, request: Request) -> Result:
    for step in range(5):
        work.progress(step, 5, f"step {step}", best=step / 10)
        with work.tracer.span("inner", step=step): pass
    work.keep(Result(name="kept"))
    wait_for(request.gate)
    return Result(name="stepped", total=5)

def eat(work, request: Request) -> Result: return Result(name=str(len(bytearray(1 << 44))))

def swell(work, request: Request) -> Result:
    work.keep(Result(name="kept", total=7))
    pieces = []
    while True:
        pieces.append(bytearray(os.urandom(1 << 20) * 20))
        time.sleep(0.02)

def native(work, request: Request) -> Result:
    print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr, flush=True)
    os.abort()

def paced(work, request: Request) -> Result:
    number = 0
    while not work.out_of_time():
        number += 1
        time.sleep(0.05)
    return Result(name="paced", total=number)

def asks(work, request: Request) -> Result:
    answers = work.ask({"name": {"method": "elicitation/create"}, "age": {}})
    return Result(name=answers["name"], total=answers["age"])

def asks_twice(work, request: Request) -> Result:
    question = {"sure": {"method": "elicitation/create"}}
    answers = [work.ask(question)["sure"] for _ in range(2)]
    return Result(name=" ".join(answers), total=len(answers[0]))

def shares(work, request: Request) -> Result:
    piece = bytearray(os.urandom(1 << 20) * 300)
    children = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            time.sleep(2)
            os._exit(0)
        children.append(pid)
    for pid in children: os.waitpid(pid, 0)
    return Result(name="shared", total=len(piece))

def leaves(work, request: Request) -> Result:
    work.afterwards(close, request.folder)
    note(request, "start")
    wait_for(request.gate or "/never")
    return Result(name="left")

def close(work, folder): (Path(folder) / "closed").touch()

def crash(work, request: Request) -> Result: raise ZeroDivisionError("by zero")
def segfault(work, request: Request) -> Result: ctypes.string_at(0)

class Doubler:
    def __init__(self, folder): self.folder = Path(folder)

    def get_ready(self): self.ready = True

    def answer(self, question):
        if question == "die": os.kill(os.getpid(), 9)
        if question == "leave": os._exit(0)
        if question == "crash": raise KeyError("nobody foresaw this")
        if isinstance(question, tuple):  # one of several that wait for each other, and then for a gate
            place, many = question
            with open(self.folder / f"begun-{place}", "a") as file: file.write(f"{os.getpid()} {os.getppid()}\\n")
            while len(list(self.folder.glob("begun-*"))) < many: time.sleep(0.01)
            wait_for(self.folder / "gate")
            return place
        return 2 * question

def crowd(work, request: Request) -> Result:
    from mlops_mcp.tools.runtime.pool import pool_of
    with pool_of(work, 2) as pool:
        pool.begin(Doubler(request.folder))
        for place in range(2): pool.ask((place, 2))
        total = sum(pool.hear()[1].value for _ in range(2))
    note(request, "crowd")
    return Result(name="crowd", total=total)
"""
