"""Sources against a web server of the test's own, on the loopback: nothing leaves the machine."""

import hashlib
import http.server
import io
import shutil
import ssl
import sys
import tarfile
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from colorizer import sources
from colorizer.data import DataConfig, photo_files
from colorizer.sources import Download, SourceError, download, source_folder

CONTENT = np.random.default_rng(0).bytes(700_000)


def checksum_of(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; each entry of `plan` is how the next answer fails: a status, or a cut."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.etag, self.ranges = {"/file": CONTENT}, '"one"', True
        self.plan, self.requests, self.sent = [], [], 0

    def url(self, name="file"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Cut(int):
    """The connection ends after so many bytes of the body."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((asked, self.headers.get("If-Range")))
        failure = server.plan.pop(0) if server.plan else None
        body = server.files.get(self.path)
        if body is None:
            self.send_error(404)
        elif failure is None or isinstance(failure, Cut):
            self.send_file(body, asked, failure)
        else:
            self.send_error(failure)

    def send_file(self, body, asked, length):
        server = self.server
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not server.ranges or self.headers.get("If-Range") not in (None, server.etag):
            start = 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        sending = body[start:][:length]
        server.sent += len(sending)  # first: once it is written, the client is ahead of this thread
        self.wfile.write(sending)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that would have been waited between attempts."""
    seconds = []
    monkeypatch.setattr(sources, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COLORIZER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def fetch(server, folder, **options):
    return download(server.url(), folder / "file", **{"checksum": checksum_of(CONTENT), **options})


# ------------------------------------------------------------------------------- downloading


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_download_is_complete_and_happens_once(server, tmp_path, algorithm):
    expected = checksum_of(CONTENT, algorithm)
    for _ in range(2):
        assert fetch(server, tmp_path, checksum=expected).read_bytes() == CONTENT
    assert server.requests == [(None, None)]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_cut_connection_goes_on_from_the_byte_it_lost(server, tmp_path, waits):
    server.plan = [Cut(300_000), Cut(200_000)]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == [
        (None, None),
        ("bytes=300000-", '"one"'),
        ("bytes=500000-", '"one"'),
    ]
    assert server.sent == len(CONTENT)  # every byte once
    assert waits == [1, 1]  # bytes were gained, so patience starts anew


def test_server_without_ranges_starts_again(server, tmp_path, waits):
    server.ranges, server.plan = False, [Cut(300_000)]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.sent == 300_000 + len(CONTENT)


def test_file_that_changed_in_between_starts_again(server, tmp_path, monkeypatch):
    changed = CONTENT[::-1]

    def change(_):
        server.files["/file"], server.etag = changed, '"two"'

    monkeypatch.setattr(sources, "time", SimpleNamespace(sleep=change))
    server.plan = [Cut(300_000)]
    assert fetch(server, tmp_path, checksum=checksum_of(changed)).read_bytes() == changed


def test_without_validator_the_checksum_catches_a_change(server, tmp_path):
    server.etag = None
    (tmp_path / "file.part").write_bytes(b"of another file")
    with pytest.raises(SourceError, match="wrong file"):
        fetch(server, tmp_path)
    assert server.requests == [("bytes=15-", None)]
    assert fetch(server, tmp_path).read_bytes() == CONTENT  # nothing of it is left


def test_part_that_is_whole_already_needs_no_server(tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    target = download("http://127.0.0.1:9/", tmp_path / "file", checksum=checksum_of(CONTENT))
    assert target.read_bytes() == CONTENT


def test_part_longer_than_the_file_starts_again(server, tmp_path, waits):
    (tmp_path / "file.part").write_bytes(2 * CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_missing_page_is_not_tried_again(server, tmp_path, waits):
    with pytest.raises(SourceError, match=r"^http://127.0.0.1:\d+/none: 404 Not Found$"):
        download(server.url("none"), tmp_path / "file", checksum="md5:0")
    assert len(server.requests) == 1
    assert waits == []


def test_server_errors_are_waited_out(server, tmp_path, waits):
    server.plan = [503, 429]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert waits == [1, 2]


def test_patience_ends(server, tmp_path, waits):
    server.plan = [Cut(1000), 503, 503, 503]
    with pytest.raises(SourceError, match=r"503 .*; the next attempt goes on from byte 1000"):
        fetch(server, tmp_path, retries=2)
    assert waits == [1, 2]
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_unreachable_server_is_one_line(tmp_path, waits):
    with pytest.raises(SourceError, match="refused") as raised:
        download("http://127.0.0.1:9/file", tmp_path / "file", checksum="md5:0", retries=1)
    assert "\n" not in str(raised.value)
    assert waits == [1]


def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path, monkeypatch, waits):
    def refuse(*_, **__):
        error = ssl.SSLCertVerificationError()
        error.verify_message = "unable to get local issuer certificate"
        raise urllib.error.URLError(error)

    monkeypatch.setattr(sources.urllib.request, "urlopen", refuse)
    with pytest.raises(SourceError, match=r"local issuer certificate.*SSL_CERT_FILE"):
        download("https://localhost/x", tmp_path / "x", checksum="md5:0")
    assert waits == []


def test_wrong_checksum_names_what_was_expected_and_deletes(server, tmp_path):
    wanted = checksum_of(b"something else", "md5")
    with pytest.raises(SourceError) as raised:
        fetch(server, tmp_path, checksum=wanted)
    message = str(raised.value)
    assert all(part in message for part in (server.url(), wanted, checksum_of(CONTENT, "md5")))
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_interrupt_keeps_the_part(server, tmp_path, monkeypatch):
    read, blocks = sources._read, []

    def interrupted(response):
        if len(blocks) == 2:
            raise KeyboardInterrupt
        blocks.append(read(response))
        return blocks[-1]

    with monkeypatch.context() as patch:
        patch.setattr(sources, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(server, tmp_path)
    assert (tmp_path / "file.part").read_bytes() == b"".join(blocks)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == (f"bytes={2 * sources.BLOCK}-", '"one"')


def test_full_disk_is_told_before_the_download(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SourceError, match=r"0\.0 GB free"):
        fetch(server, tmp_path)
    assert not (tmp_path / "file.part").exists()


# ------------------------------------------------------------------------------- the archives


def visible(folder):
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def jpeg(shade=100):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 90, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def archive_of(members, kind="gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def serve(server, monkeypatch, constant, name, content):
    server.files[f"/{name}"] = content
    monkeypatch.setattr(sources, constant, Download(server.url(name), checksum_of(content)))


@pytest.fixture
def flowers17(server, monkeypatch):
    photos = {f"jpg/image_{n:04d}.jpg": jpeg(n) for n in range(1, 81)}
    content = archive_of({"jpg/files.txt": b"a list", **photos})
    serve(server, monkeypatch, "FLOWERS17", "17flowers.tgz", content)
    return content


def test_flowers17_has_the_splits_of_the_project(server, flowers17, home):
    folder = source_folder("flowers17")
    assert folder == home / "flowers17"
    numbers = {
        split: sorted(int(path.stem[-4:]) for path in (folder / split).iterdir())
        for split in sources.SPLITS
    }
    assert numbers["train"] == [n for n in range(1, 81) if n % 4 in (1, 2)]
    assert numbers["validation"] == list(range(3, 81, 4))
    assert numbers["test"] == list(range(4, 81, 4))
    assert (folder / "validation" / "image_0003.jpg").read_bytes() == jpeg(3)
    assert visible(home) == ["flowers17"]  # the archive is gone

    assert source_folder("flowers17") == folder
    assert len(server.requests) == 1
    config = DataConfig(sources=("flowers17@3",))
    assert len(photo_files(config, "train")) == 3 * 40
    assert photo_files(config, "test")[0] == folder / "test" / "image_0004.jpg"


def test_flowers102_has_its_official_splits(server, monkeypatch, home):
    photos = {f"jpg/image_{n:05d}.jpg": jpeg(n) for n in range(1, 8)}
    serve(server, monkeypatch, "FLOWERS102", "102flowers.tgz", archive_of(photos))
    sets = io.BytesIO()
    savemat(sets, {"trnid": [[2, 5]], "valid": [[1]], "tstid": [[3, 4, 6, 7]]})
    serve(server, monkeypatch, "FLOWERS102_SETS", "setid.mat", sets.getvalue())
    folder = source_folder("flowers102")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}
    assert found == {f"train/image_0000{n}.jpg" for n in (2, 5)} | {
        "validation/image_00001.jpg"
    } | {f"test/image_0000{n}.jpg" for n in (3, 4, 6, 7)}
    assert visible(home) == ["flowers102"]


def test_interrupted_extraction_leaves_no_folder(server, flowers17, home, monkeypatch):
    write, written = sources._write_once, []

    def interrupted(path, content):
        if len(written) == 30:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "_write_once", interrupted)
        with pytest.raises(KeyboardInterrupt):
            source_folder("flowers17")
    assert visible(home) == ["17flowers.tgz"]
    assert len(list(source_folder("flowers17").rglob("*.jpg"))) == 80
    assert len(server.requests) == 1  # the archive was there still


def symbolic_link():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("jpg/image_0001.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive_of({"../../image_0001.jpg": jpeg()}), "outside the destination"),
        (symbolic_link(), "absolute path"),
        (archive_of({"jpg/image_0001.jpg": CONTENT})[:50_000], "damaged"),
        (archive_of({"jpg/image_0001.jpg": CONTENT}, "")[:50_000], "damaged"),
        (archive_of({"jpg/image_9999.jpg": jpeg()}), "9999 is of no split"),
        (archive_of({"readme.txt": b"nothing"}), "no photographs"),
        (CONTENT, "damaged"),
    ],
    ids=["traversal", "link", "cut gzip", "cut tar", "unknown number", "empty", "no archive"],
)
def test_bad_archives_are_refused_in_one_line(server, home, monkeypatch, content, message):
    serve(server, monkeypatch, "FLOWERS17", "17flowers.tgz", content)
    with pytest.raises(SourceError, match=message) as raised:
        source_folder("flowers17")
    assert "\n" not in str(raised.value)
    assert visible(home) == ["17flowers.tgz"]
    assert not list(home.parent.glob("*.jpg"))


# ------------------------------------------------------------------------- names, and Places


def test_folder_is_returned_as_it_is(tmp_path, home):
    assert source_folder(str(tmp_path)) == tmp_path
    Path("flowers17").mkdir()  # a local copy comes before the download
    assert source_folder("flowers17") == Path("flowers17")


def test_unknown_source_names_the_known_ones(home):
    with pytest.raises(ValueError, match="no source 'roses'") as raised:
        source_folder("roses")
    message = str(raised.value)
    assert "flowers102, flowers17, places365, or the path of a folder" in message
    assert "\n" not in message


def test_default_home_is_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("COLORIZER_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    fetched = []
    monkeypatch.setitem(sources.DATASETS, "flowers17", fetched.append)
    assert source_folder("flowers17") == tmp_path / ".cache/colorizer/flowers17" == fetched[0]
    assert source_folder("flowers17", home=tmp_path / "other") == tmp_path / "other/flowers17"


def test_of_two_that_ask_one_fetches(home, monkeypatch):
    fetched = []

    def fetch(folder):
        fetched.append(folder)
        time.sleep(0.2)
        folder.mkdir()

    monkeypatch.setitem(sources.DATASETS, "slow", fetch)
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(source_folder, ["slow"] * 3))
    assert folders == [home / "slow"] * 3
    assert fetched == [home / "slow"]


def test_places_without_its_extra_names_it(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(SourceError, match=r'pip install ".\[datasets\]"') as raised:
        source_folder("places365")
    assert "\n" not in str(raised.value)


PLACES = {"train": 1002, "validation": 2, "test": 3}


class FakePlaces:
    """What `tensorflow_datasets.builder` gives, as far as it is used."""

    stop_after = None

    def __init__(self, name):
        assert name == "places365_small"
        splits = {name: SimpleNamespace(num_examples=n) for name, n in PLACES.items()}
        self.info, self.prepared = SimpleNamespace(splits=splits), False

    def download_and_prepare(self):
        self.prepared = True

    def as_dataset(self, *, split, decoders, shuffle_files):
        assert self.prepared
        assert not shuffle_files
        assert decoders == {"image": "skip"}
        return SimpleNamespace(as_numpy_iterator=lambda: self.examples(split))

    def examples(self, split):
        for number in range(PLACES[split]):
            if (split, number) == self.stop_after:
                raise KeyboardInterrupt
            yield {"image": f"{split} {number}".encode(), "label": 0}


def test_places_is_written_as_files_and_goes_on_after_an_interrupt(home, monkeypatch):
    fake = SimpleNamespace(builder=FakePlaces, decode=SimpleNamespace(SkipDecoding=lambda: "skip"))
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", fake)
    usage = shutil.disk_usage("/")._replace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with monkeypatch.context() as patch:
        patch.setattr(FakePlaces, "stop_after", ("validation", 1))
        with pytest.raises(KeyboardInterrupt):
            source_folder("places365")
    partial = home / ".places365.partial"
    assert not (home / "places365").exists()
    cut = partial / "train/0000/image_0000007.jpg"
    cut.write_bytes(b"tra")  # as a kill in the middle of a file leaves it
    kept = (partial / "train/0000/image_0000008.jpg").stat().st_mtime_ns

    folder = source_folder("places365")
    assert {s: len(list((folder / s).rglob("*.jpg"))) for s in sources.SPLITS} == PLACES
    assert (folder / "train/0000/image_0000007.jpg").read_bytes() == b"train 7"
    assert (folder / "train/0001/image_0001001.jpg").read_bytes() == b"train 1001"
    assert (folder / "train/0000/image_0000008.jpg").stat().st_mtime_ns == kept
    assert visible(home) == ["places365"]


def test_places_needs_space(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", SimpleNamespace())
    usage = shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SourceError, match=r"32\.0 GB needed, 1\.0 GB free; COLORIZER_HOME"):
        source_folder("places365")
    begun = home / ".places365.partial" / "train" / "0000"
    begun.mkdir(parents=True)
    (begun / "image_0000000.jpg").write_bytes(bytes(10**8))
    with pytest.raises(SourceError, match=r"31\.9 GB needed"):
        source_folder("places365")
