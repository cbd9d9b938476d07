"""Tell a run, from its record only."""

from __future__ import annotations

from odibi.story.files import story_path, write, write_index
from odibi.story.generator import StoryGenerator
from odibi.story.html import render
from odibi.story.text import sentence

__all__ = ["StoryGenerator", "render", "sentence", "story_path", "write", "write_index"]
