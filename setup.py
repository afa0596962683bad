"""Ships every folder of source below the roots as `mlops_mcp.<folder>`: a new one needs no entry anywhere."""

from setuptools import find_packages, setup

ROOTS = ("config", "examples", "prompts", "resources", "server", "tools")

setup(
    packages=[
        f"mlops_mcp.{name}" for root in ROOTS for name in (root, *(f"{root}.{below}" for below in find_packages(root)))
    ]
)
