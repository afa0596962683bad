"""When the template is asked for a process, and when not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from mlops_mcp.tools.runtime.template.handle import Template

from ...waiting import eventually


async def test_a_template_that_is_stopped_is_not_ready_and_one_that_goes_on_is() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        template = Template()
        template._handle, template.pid = os.pidfd_open(child.pid), child.pid  # pyright: ignore[reportPrivateUsage]
        assert template.ready
        child.send_signal(signal.SIGSTOP)
        await eventually(lambda: not template.ready)
        child.send_signal(signal.SIGCONT)
        await eventually(lambda: template.ready)
        child.kill()
    assert not template.ready
    os.close(template._handle)  # pyright: ignore[reportPrivateUsage]
