"""Texts with `$names` to fill in."""

from pathlib import Path
from string import Template


def fill(template, /, **values):
    return Template((Path(__file__).parent / "templates" / template).read_text()).substitute(values)
