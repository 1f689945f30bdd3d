from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import Bundle
from edgekit.bundle.seal import keys, manifest, verify, write
from edgekit.errors import BundleError, EdgekitError, UsageError
from edgekit.harness.content import sha256_of
from tests.unit.bundle import made
from tests.unit.bundle.seal import sealed
from tests.unit.bundle.seal.sealed import KEY, tree


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "sources").mkdir()
    return made.two_models(tmp_path / "sources")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the bundle goes: the only thing in its folder, so that what is left beside it shows."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out/bundle"


def put(out: Path, recipe: Recipe, content: Content | None = None, **options: Any) -> Bundle:
    return write.write(out, sealed.unsealed(recipe), content or sealed.content(recipe), **options)


def files(**content: bytes | Path) -> Content:
    return Content(files=content, runtimes=())


def test_what_is_written_is_what_was_given(out: Path, recipe: Recipe) -> None:
    content = sealed.content(recipe)
    answer = put(out, recipe, content)
    for path, source in content.files.items():
        assert (out / path).read_bytes() == (source if isinstance(source, bytes) else source.read_bytes())
    assert {p for p in tree(out) if (out / p).is_file()} == {*content.files, manifest.MANIFEST, manifest.CHECKSUM}
    assert answer.path == str(out) and answer.key_id is None
    assert answer.manifest == manifest.decode((out / manifest.MANIFEST).read_bytes())
    assert answer.manifest_sha256 == sha256_of(out / manifest.MANIFEST)
    assert [entry.path for entry in answer.manifest.files] == sorted(content.files)
    assert {entry.path: entry.sha256 for entry in answer.manifest.files} == {
        path: sha256_of(out / path) for path in content.files
    }
    assert os.listdir(out.parent) == ["bundle"]


def test_a_signed_one_says_by_which_key(out: Path, recipe: Recipe) -> None:
    assert put(out, recipe, key=KEY).key_id == KEY.public.key_id
    assert verify.check(out, trusted=(KEY.public,), require_signature=True).signature == "trusted"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_the_rights_are_those_of_the_content_whatever_the_umask(out: Path, recipe: Recipe, umask: int) -> None:
    before = os.umask(umask)
    try:
        put(out, recipe, key=KEY)
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o7777 == 0o755
    for path, (mode, _) in tree(out).items():
        assert mode & 0o7777 == (0o755 if (out / path).is_dir() or path == "tools/run.sh" else 0o644), path


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two/three"):
        sealed.bundle(tmp_path / name / "bundle", tmp_path / "sources", KEY)
        shutil.rmtree(tmp_path / "sources")
    assert tree(tmp_path / "one/bundle") == tree(tmp_path / "two/three/bundle")


def test_the_order_of_the_content_does_not_matter(out: Path, recipe: Recipe) -> None:
    content = sealed.content(recipe)
    put(out, recipe, content)
    back = Content(dict(reversed(content.files.items())), content.runtimes, executables=content.executables)
    put(out.with_name("other"), recipe, back)
    assert tree(out) == tree(out.with_name("other"))


def test_the_folder_may_have_any_name_that_fits(out: Path, recipe: Recipe) -> None:
    folder = out.with_name("\N{SNOWMAN}" * 85)  # 255 bytes: what is beside it meanwhile has a name of its own
    put(folder, recipe)
    put(folder, recipe, force=True)
    assert os.listdir(out.parent) == [folder.name]


def test_an_empty_folder_is_taken(out: Path, recipe: Recipe) -> None:
    out.mkdir()
    put(out, recipe)
    verify.check(out)
    assert os.listdir(out.parent) == ["bundle"]


def test_a_link_to_a_folder_is_taken_as_the_folder(out: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    out.symlink_to(tmp_path / "elsewhere")
    put(out, recipe)
    assert out.is_symlink() and (tmp_path / "elsewhere" / manifest.MANIFEST).is_file()


def refused(
    kind: type[EdgekitError], match: str, out: Path, recipe: Recipe, *rest: Any, **options: Any
) -> EdgekitError:
    """Check that nothing is written, and that what was there before is what is there now."""
    before = tree(out.parent)
    with pytest.raises(kind, match=match) as caught:
        put(out, recipe, *rest, **options)
    assert caught.value.where and caught.value.next_step
    assert tree(out.parent) == before
    return caught.value


def test_a_folder_in_use_is_refused(out: Path, recipe: Recipe) -> None:
    put(out, recipe)
    assert "--force" in refused(UsageError, "not empty", out, recipe).next_step
    out.with_name("file").write_text("x")
    refused(UsageError, "a file of that name", out.with_name("file"), recipe)
    refused(UsageError, "a file of that name", out.with_name("file"), recipe, force=True)
    refused(UsageError, "can't be written", out.with_name("file") / "below", recipe)


def test_force_replaces_a_bundle_with_all_that_is_in_it(out: Path, recipe: Recipe) -> None:
    put(out, recipe, files(old=b"1"))
    (out / "build").mkdir()
    (out / "build/leftover").write_text("x")
    put(out, recipe, files(new=b"2"), force=True)
    verify.check(out)
    assert (out / "new").exists() and not (out / "old").exists() and not (out / "build").exists()
    assert os.listdir(out.parent) == ["bundle"]
    put(out.with_name("none"), recipe, files(new=b"2"), force=True)  # nothing to replace is no fault


def test_force_spares_what_is_no_bundle(out: Path, recipe: Recipe, tmp_path: Path) -> None:
    put(tmp_path / "good", recipe)
    whole = (tmp_path / "good" / manifest.MANIFEST).read_bytes()
    for content in (None, b"", b"{}", b'{"name": "my-app", "schema": 1}', whole[:-1], whole + b" "):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / "precious").write_text("x")
        if content is not None:
            (out / manifest.MANIFEST).write_bytes(content)
        refused(UsageError, "no bundle", out, recipe, force=True)
    (out / manifest.MANIFEST).unlink()
    (out / manifest.MANIFEST).symlink_to(tmp_path / "good" / manifest.MANIFEST)
    refused(UsageError, "no bundle", out, recipe, force=True)
    (out / manifest.MANIFEST).unlink()
    os.mkfifo(out / manifest.MANIFEST)
    with pytest.raises(UsageError, match="no bundle"):
        put(out, recipe, force=True)


@pytest.mark.parametrize(
    "path", ["../escape", "/absolute", "a/../../b", "a\\b", "a\nb", "", "aux.h", "manifest.json", "Manifest.JSON.sig"]
)
def test_a_path_that_can_t_be_everywhere_is_refused(out: Path, recipe: Recipe, path: str) -> None:
    refused(BundleError, "can't hold", out, recipe, Content(files={path: b"x", "a.txt": b""}, runtimes=()))


def test_paths_that_do_not_go_together_are_refused(out: Path, recipe: Recipe) -> None:
    refused(BundleError, "case only", out, recipe, files(README=b"", readme=b""))
    refused(BundleError, "a folder at once|a file and a folder", out, recipe, Content({"a": b"", "a/b": b""}, ()))
    only = Content(files={"a": b""}, runtimes=(), executables=frozenset({"b"}))
    refused(BundleError, "executable but not there", out, recipe, only)


def test_a_source_that_is_no_plain_file_is_refused(out: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("link", "is a link"), ("pipe", "is a pipe"), ("sources", "is a folder"), ("none", "is missing")):
        error = refused(BundleError, why, out, recipe, files(a=b"first", b=tmp_path / name))
        assert error.where == str(tmp_path / name)


def test_a_source_that_changed_since_it_was_checked_is_refused(out: Path, recipe: Recipe) -> None:
    expected = write.artifacts(recipe)
    path = recipe.parts[1].members[0].path
    path.write_bytes(path.read_bytes() + b"!")
    assert refused(BundleError, "not the one", out, recipe, expected=expected).where == str(path)
    with pytest.raises(BundleError, match="not the one"):
        write.artifacts(recipe)
    path.unlink()
    with pytest.raises(BundleError, match="not the one"):
        write.artifacts(recipe)


def test_a_folder_of_an_artifact_is_checked_file_by_file(tmp_path: Path, out: Path) -> None:
    recipe = made.simple(tmp_path, "coreml")
    (part,) = recipe.parts
    (member,) = part.members
    with pytest.raises(BundleError, match="not the one"):  # these recipes name something else
        write.artifacts(recipe)
    right = msgspec.structs.replace(member.variant, artifact_sha256=sha256_of(member.path))
    recipe = made.recipe(made.part("net", [type(member)(right, member.path, (), ())]))
    expected = write.artifacts(recipe)
    assert set(expected) == {path for path in member.path.rglob("*") if path.is_file()}
    inner = member.path / "Manifest.json"
    content = files(**{"net.mlpackage/Manifest.json": inner})
    put(out, recipe, content, expected=expected)
    inner.write_text("changed")
    refused(BundleError, "not the one", out.with_name("second"), recipe, content, expected=expected)


def test_a_manifest_that_json_can_t_hold_leaves_nothing(out: Path, recipe: Recipe) -> None:
    base = msgspec.structs.replace(sealed.unsealed(recipe), name="a\udc80")
    with pytest.raises(BundleError, match="no Unicode"):
        write.write(out, base, sealed.content(recipe))
    assert os.listdir(out.parent) == []


Fault = Callable[..., Any]


def after(calls: int, failure: BaseException, real: Fault) -> Fault:
    """``real`` for some calls, then the failure once, then ``real`` again."""
    left = [calls]

    def call(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            raise failure
        return real(*arguments, **options)

    return call


FAILURES = [
    (KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "No space left on device"), BundleError),
    (OSError(errno.EACCES, "Permission denied"), UsageError),
]  # fmt: skip


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize(("failure", "kind"), FAILURES, ids=["interrupt", "no room", "no rights"])
@pytest.mark.parametrize("name", ["chmod", "mkdir", "rename"])
def test_a_failure_at_any_point_leaves_what_was_there(
    out: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, name: str, failure: BaseException,
    kind: type[BaseException], replaced: bool,
) -> None:  # fmt: skip
    if replaced:
        put(out, recipe, files(old=b"1"))
    before, failed = tree(out.parent), 0
    for calls in range(40):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, after(calls, failure, getattr(Path, name)))
            try:
                put(out, recipe, key=KEY, force=replaced)
            except kind:
                failed += 1
                assert tree(out.parent) == before, calls
                continue
        break
    assert failed >= (1 + replaced if name == "rename" else 3)  # each call was the one that failed, once
    verify.check(out, trusted=(KEY.public,))
    assert os.listdir(out.parent) == ["bundle"]


@pytest.mark.parametrize("calls", [1, 2])
def test_an_interrupt_right_after_a_rename_leaves_one_whole_bundle(
    out: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    put(out, recipe, files(old=b"1"))
    real, done = Path.rename, []

    def interrupted(path: Path, target: Path) -> Path:
        real(path, target)
        done.append(target)
        if len(done) == calls:
            raise KeyboardInterrupt
        return target

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(out, recipe, files(new=b"2"), force=True)
    verify.check(out)
    assert (out / ("old" if calls == 1 else "new")).exists() and os.listdir(out.parent) == ["bundle"]


def test_a_disk_that_is_full_leaves_nothing(out: Path, recipe: Recipe) -> None:
    """A real one: no file may grow beyond the limit, which is what a full disk looks like to a program."""
    import resource
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        error = refused(BundleError, "no room", out, recipe, files(small=b"x", large=b"x" * (1 << 17)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "Nothing half-written" in error.next_step


def test_an_old_bundle_that_can_t_be_removed_is_said(
    out: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(out, recipe, files(old=b"1"))
    real = shutil.rmtree

    def denied(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, ignore_errors=True)

    monkeypatch.setattr(shutil, "rmtree", denied)
    with pytest.raises(BundleError, match="old one can't be removed") as caught:
        put(out, recipe, files(new=b"2"), force=True)
    verify.check(out)
    assert (Path(caught.value.where) / "bundle/old").read_bytes() == b"1"


def test_of_two_that_write_at_once_one_is_whole(out: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    real = write._seal

    def other_was_first(*arguments: Any) -> None:
        monkeypatch.setattr(write, "_seal", real)
        put(out, recipe, files(first=b"1"))
        real(*arguments)

    monkeypatch.setattr(write, "_seal", other_was_first)
    with pytest.raises(UsageError, match="not empty"):
        put(out, recipe, files(second=b"2"))
    verify.check(out)
    assert (out / "first").exists() and os.listdir(out.parent) == ["bundle"]


def test_a_key_of_the_folder_signs(out: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_KEYS", str(tmp_path / "keys"))
    keys.make("release")
    put(out, recipe, key=keys.load("release"))
    found = verify.check(out, trusted=keys.trusted(), require_signature=True)
    assert (found.signature, found.key_name) == ("trusted", "release")
