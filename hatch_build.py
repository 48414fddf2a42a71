"""Puts the recipes into the wheel as cifarzoo/gin, and only there.

In an editable install they are found beside the package; a plain force-include would leave
stale copies in site-packages.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RecipesInWheel(BuildHookInterface):  # type: ignore[type-arg]  # its config type is private
    """The build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add ``gin/`` to a standard (not an editable) wheel."""
        if version == "standard":
            build_data["force_include"]["gin"] = "cifarzoo/gin"
