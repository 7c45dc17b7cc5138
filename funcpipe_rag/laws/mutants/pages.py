"""What people write in place of a pager."""

from __future__ import annotations
