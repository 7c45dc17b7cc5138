"""What people write in place of a log source that follows."""

from __future__ import annotations
