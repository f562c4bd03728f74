"""Fetch the Debian packages that the texts come from, without installing anything.

Needs apt-get and dpkg on a Debian 12 system; everything lands under one work folder.
"""

import os
import subprocess
from pathlib import Path

LANGUAGES = ["de", "fr", "es", "it", "pt", "pt_BR"]
# Package -> licence of its texts, as its copyright file has it.
TRAINING = {
    "wordnet-base": "WordNet licence", "dict-gcide": "GPL-3+", "dict-vera": "GFDL",
    "python3.11-doc": "PSF", "debian-reference-en": "GPL-2+", "developers-reference": "GPL-2+", "debmake-doc": "MIT",
    "perl-doc": "GPL-1+ or Artistic", "manpages": "several free licences", "manpages-dev": "several free licences",
    "manpages-de": "GPL-3+", "manpages-fr": "GPL-3+", "manpages-es": "GPL-3+", "manpages-it": "GPL-3+",
    "libreoffice-help-en-us": "MPL-2.0", "libreoffice-help-de": "MPL-2.0", "libreoffice-help-fr": "MPL-2.0",
    "libreoffice-help-es": "MPL-2.0", "libreoffice-help-it": "MPL-2.0", "postgresql-doc-15": "PostgreSQL",
    "apache2-doc": "Apache-2.0", "vim-doc": "Vim", "sqlite3-doc": "public domain", "python-django-doc": "BSD-3-clause",
    "aptitude-doc-en": "GPL-2+", "nodejs-doc": "MIT", "postfix-doc": "IPL-1.0 or EPL-2.0",
    "dict-freedict-deu-eng": "GPL", "dict-freedict-fra-eng": "GPL", "dict-freedict-spa-eng": "GPL",
    "dict-freedict-ita-eng": "GPL", "dict-freedict-por-eng": "GPL",
}  # fmt: skip
# Never read for training. The package index is split by source package instead, see corpus.py.
HELD_OUT = {
    "dict-foldoc": "GFDL-1.2+", "debian-handbook": "GPL-2+ or CC-BY-SA-3.0+", "debian-faq": "GPL-2+",
    "gnome-user-docs": "CC-BY-3.0", "coreutils": "GPL-3+", "git-man": "GPL-2", "bash-doc": "GPL-3+",
}  # fmt: skip


def apt(work, *arguments, program="apt-get", **options):
    """apt with lists and cache of its own under `work`, so that the system's stay as they are."""
    for folder in ("apt/lists/partial", "apt/cache/archives/partial", "apt/debs"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::lists": work / "apt/lists",
        "Dir::Cache": work / "apt/cache",
        "Acquire::Languages": ",".join(["en", *LANGUAGES]),
    }
    flags = [x for k, v in settings.items() for x in ("-o", f"{k}={v}")]
    return subprocess.run([program, *flags, *arguments], check=True, cwd=work / "apt/debs", **options)


def fetch(work):
    """Package index, translations and packages into `work`/apt. Skips what is there."""
    work = Path(work).resolve()
    if not list((work / "apt/lists").glob("*Translation-en*")):
        apt(work, "update")
    for package in TRAINING | HELD_OUT:
        root = work / "apt/root" / package
        if root.exists():
            continue
        apt(work, "download", "-q", package)
        (deb,) = (work / "apt/debs").glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", deb, root.with_suffix(".part")], check=True)
        os.rename(root.with_suffix(".part"), root)
        deb.unlink()


def index_files(work, kind):
    """The text of the lists whose name has `kind`, such as `Translation-de` or `binary-`."""
    names = [p for p in (Path(work) / "apt/lists").iterdir() if kind in p.name.replace("%5f", "_")]
    for path in sorted(p for p in names if p.is_file()):
        yield subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", str(path)], check=True, capture_output=True
        ).stdout.decode("utf-8", "replace")
