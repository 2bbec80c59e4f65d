"""The sample application as its users see it: versions of its source, and a client of its HTTP interface."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import typing as t
import zlib
from pathlib import Path

import requests

from support.waiting import HANG

APP = Path(__file__).resolve().parent.parent / "app"
#: A document of one page.
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 41>>stream
BT /F 12 Tf 9 50 Td (Set up the board) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""
#: An origin that the application allows by default.
ORIGIN = "http://localhost:5001"


def make_source(folder: Path, version: str, fault: dict[str, t.Any] | None = None) -> Path:
    """The source tree of a version of the application, with a fault where one is wanted."""
    argv = [sys.executable, str(APP / "make_version.py"), str(folder), "--version", version]
    subprocess.run(argv + (["--fault", json.dumps(fault)] if fault else []), check=True)
    return folder


def png(width: int = 64, height: int = 64, grey: int = 120) -> bytes:
    """A small PNG image of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([grey, 80, 255 - grey]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def clip_of(job_id: str) -> str:
    """Where the clip of a render is served, and where it lies below ``src/api`` of the application."""
    return f"/uploads/render-jobs/{job_id}/{job_id}-preview.mp4"


class Client:
    """Talks to the application at a port of this machine."""

    def __init__(self, port: int, key: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update({"Origin": ORIGIN, "X-Mobius-API-Key": key, "X-API-Key": key})

    def get(self, path: str) -> requests.Response:
        """GET a path."""
        return self.http.get(self.url + path, timeout=HANG)

    def health(self) -> dict[str, t.Any]:
        """What `/health` answers."""
        return self.get("/health").json()

    def file(self, path: str) -> bytes | None:
        """A file that is served; ``None`` when the page is in its place, which answers whatever is not there."""
        answer = self.get(path)
        return None if answer.headers["Content-Type"].startswith("text/html") else answer.content

    def post(self, path: str, **body: t.Any) -> dict[str, t.Any]:
        """A request that has to be acknowledged; its answer."""
        answer = self.http.post(self.url + path, timeout=HANG, **body)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def upload(self, name: str, content: bytes) -> dict[str, t.Any]:
        """Upload an image; its record."""
        return self.post("/upload-images", files={"images": (name, content, "image/png")})["images"][0]

    def upload_pdf(self, name: str, content: bytes) -> str:
        """Upload a PDF; where it is served. MOBIUS tells its absolute path."""
        return "/uploads/" + Path(self.post("/upload-pdf", files={"pdf": (name, content, "application/pdf")})["pdfPath"]).name

    def save(self, name: str) -> int:
        """Save a project; the id that it was given."""
        return self.post("/save-project", json={"name": name})["projectId"]

    def project(self, number: int) -> dict[str, t.Any]:
        """A saved project."""
        answer = self.get(f"/load-project/{number}")
        assert answer.status_code == 200, f"project {number}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def add_image(self, project: str, name: str, content: bytes) -> dict[str, t.Any]:
        """Store an image of a project; MOBIUS keeps its absolute path."""
        return self.post(f"/api/projects/{project}/images/manual", files={"file": (name, content, "image/png")})["images"][-1]

    def images(self, project: str) -> dict[str, tuple[bytes, bytes]]:
        """What users see of a project's images: name -> content and thumbnail."""
        base = f"/api/projects/{project}/images"
        files = {image["name"]: f"{base}/{image['id']}/file" for image in self.get(base).json()["images"]}
        return {name: (self.get(file).content, self.get(file + "?variant=thumbnail").content) for name, file in files.items()}

    def begin_render(self, picture: str = "", seconds: float = 2, scenes: int = 1, realtime: bool = False) -> str:
        """Begin to render a clip of so many seconds, of an uploaded picture or of colours; the job's id.

        :param picture: its path, as the upload told it.
        :param realtime: take as long as the clip lasts.
        """
        background = {"background": {"image": f"src/api{picture}"}} if picture else {}
        told = [{"id": f"scene-{number}", "durationSec": seconds / scenes, **background} for number in range(scenes)]
        video = {"resolution": {"width": 320, "height": 180}, "fps": 10}
        return self.post(
            "/api/render", json={"config": {"projectId": "p0", "video": video, "timing": {"scenes": told}, "realtime": realtime}}
        )["jobId"]

    def job(self, job_id: str) -> dict[str, t.Any]:
        """How a render is going."""
        answer = self.get(f"/api/render/{job_id}/status")
        assert answer.status_code == 200, answer.text
        return answer.json()["job"]

    def render(self, picture: str = "", seconds: float = 2, scenes: int = 1, patience: float = HANG) -> str:
        """Render a clip and wait for it; its path on the server."""
        job_id = self.begin_render(picture, seconds, scenes)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job["status"] == "completed":
                return clip_of(job_id)
            if job["status"] == "failed":
                raise RuntimeError(f"the render failed: {job}")
            time.sleep(0.2)
        raise RuntimeError(f"the render was not done within {patience} s: {job}")

    def clip(self, path: str, to: Path) -> dict[str, t.Any]:
        """Fetch a clip; its `duration` in seconds and its `codecs`, as ffprobe tells them."""
        to.write_bytes(self.get(path).content)
        argv = ["ffprobe", "-v", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "json", str(to)]
        facts = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        return {"duration": float(facts["format"]["duration"]), "codecs": sorted(stream["codec_name"] for stream in facts["streams"])}
