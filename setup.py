"""Ships `package` as `mlops_mcp`, and every folder of source below the roots as `mlops_mcp.<folder>`.

A new folder needs no entry anywhere.
"""

from setuptools import find_packages, setup

ROOTS = ("config", "examples", "prompts", "resources", "server", "tools")

setup(
    packages=[
        "mlops_mcp",
        *(f"mlops_mcp.{name}" for root in ROOTS for name in (root, *(f"{root}.{sub}" for sub in find_packages(root)))),
    ]
)
