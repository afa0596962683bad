"""Write the wire form of every tool, the README's table of them and that of the settings.

`python -m mlops_mcp.server.contract` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..tools import catalog, wire
from ..tools.spec import Toolset
from .settings_table import with_settings

BEGIN, END = "<!-- tools:begin -->", "<!-- tools:end -->"


def main() -> None:
    root = Path(__file__).parent.parent
    toolsets = catalog.load_all()
    write_wire(root / "tools" / wire.FOLDER, wire.render_all(toolsets))
    readme = root / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8"), toolsets), encoding="utf-8")
    settings, defaults = root / "docs" / "configuration.md", root / "config" / "mlops.yaml"
    told = with_settings(settings.read_text(encoding="utf-8"), defaults.read_text(encoding="utf-8"))
    settings.write_text(told, encoding="utf-8")


def write_wire(folder: Path, contents: Mapping[str, str]) -> None:
    """Make the folder hold exactly these files."""
    folder.mkdir(exist_ok=True)
    for stale in {path.name for path in folder.glob("*.json")} - set(contents):
        (folder / stale).unlink()
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")


def with_table(readme: str, toolsets: Mapping[str, Toolset]) -> str:
    """The README with its tool table brought up to date between the markers."""
    lines = ["| toolset | tool | what it does |", "|---|---|---|"]
    for name, toolset in toolsets.items():
        lines += [
            f"| {name} | `{spec.name}` | {first_sentence(wire.render(spec)['description'])} |" for spec in toolset.tools
        ]
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]) if rest else readme


def first_sentence(text: str) -> str:
    """What a tool does, as lists of tools say it."""
    return text.split(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    main()
