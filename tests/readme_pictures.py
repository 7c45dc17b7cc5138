"""Draw what README.md shows: `![…](modules/pictures/NAME.svg)` is what its own Python calls NAME.

`python tests/readme_pictures.py modules/pictures` writes the pictures anew; tests/test_readme.py compares.
"""

import doctest
import re
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"
IMAGE = re.compile(r"!\[([^\]]*)\]\(modules/pictures/(\w+)\.svg\)")


def drawn(text: str) -> dict[str, Any]:
    """The pictures of a page, by name, after its examples have run from top to bottom."""
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "readme"}, "README.md", None, 0)
    doctest.DocTestRunner(verbose=False).run(test, clear_globs=False)
    return {name: test.globs[name] for _, name in IMAGE.findall(text)}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    text = README.read_text(encoding="utf-8")
    for name, picture in drawn(text).items():
        (folder / f"{name}.svg").write_text(picture.to_svg() + "\n", encoding="utf-8", newline="\n")
        if f"![{picture.alt}](" not in text:
            print(
                f"README.md does not say what {name}.svg shows: ![{picture.alt}](modules/pictures/{name}.svg)"
            )
