# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on as Blender takes it: the manifest, enabling and disabling, and what it puts into the menus."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
#: As Blender names an extension that was installed from a file.
NAME = "bl_ext_of_this_test.fluid_addon"


@pytest.fixture
def addon(bpy) -> Iterator[ModuleType]:
    """The root package under another name, as in Blender; disabled and forgotten afterwards."""
    repository = ModuleType(NAME.partition(".")[0])
    repository.__path__ = []
    sys.modules[repository.__name__] = repository
    spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    package = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    try:
        yield package
    finally:
        if "FLUID_ADDON_OT_import_bake" in dir(bpy.types):
            package.unregister()
        for name in [name for name in sys.modules if name.partition(".")[0] == repository.__name__]:
            del sys.modules[name]


def entries_of_the_import_menu(bpy) -> list[str]:
    return [function.__module__ for function in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()]


def is_there(bpy) -> bool:
    return hasattr(bpy.types, "FLUID_ADDON_OT_import_bake")


MENUS = ("TEXT_MT_", "TEXT_HT_", "VIEW3D_MT_", "TOPBAR_MT_")


def what_blender_knows(bpy) -> dict[str, object]:
    """Everything that an add-on may leave behind: handlers, classes, properties, menu entries, keys."""
    lists = {name: getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)}
    known = {name: list(handlers) for name, handlers in lists.items() if isinstance(handlers, list)}
    menus = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith(MENUS)]
    drawn = {menu.__name__: list(menu._dyn_ui_initialize()) for menu in menus}
    keys = bpy.context.window_manager.keyconfigs.addon
    return {
        "handlers": known,
        "classes": set(dir(bpy.types)),
        "properties": {kind: set(dir(getattr(bpy.types, kind))) for kind in ("Object", "Scene", "WindowManager")},
        "menus": drawn,
        "keys": [(m.name, item.idname) for m in (keys.keymaps if keys else ()) for item in m.keymap_items],
        "operators": set(dir(bpy.ops.fluid_addon)),
    }


def timers_of(name: str) -> list[str]:
    """The timers of the add-on that are registered."""
    import bpy

    found = []
    for module in [module for key, module in sys.modules.items() if key.startswith(f"{name}.fluid_addon.blender.")]:
        for value in vars(module).values():
            if callable(value) and not isinstance(value, type) and bpy.app.timers.is_registered(value):
                found.append(f"{module.__name__}.{value.__name__}")
    return found


def test_B06_it_can_be_enabled_and_disabled_again_and_again(bpy, addon) -> None:
    addon.register()
    addon.unregister()  # what Blender itself makes with the first add-on of its kind stays
    before, threads = what_blender_knows(bpy), set(threading.enumerate())
    entries = entries_of_the_import_menu(bpy)
    for _ in range(20):
        addon.register()
        assert is_there(bpy)
        added = [entry for entry in entries_of_the_import_menu(bpy) if entry not in entries]
        assert added == [f"{NAME}.fluid_addon.blender.import_operator"]
        addon.unregister()
        assert not is_there(bpy)
        assert timers_of(NAME) == []
    assert what_blender_knows(bpy) == before
    assert not set(threading.enumerate()) - threads


def test_the_operator_imports_a_bake_by_its_manifest_or_its_folder(bpy, addon, new_bake) -> None:
    addon.register()
    bake = new_bake("a_10.vdb", "a_20.vdb", "b_15.vdb", title="fire")
    chosen = bake.folder / "manifest.json"
    assert bpy.ops.fluid_addon.import_bake(filepath=str(chosen), set_frames=True) == {"FINISHED"}
    assert sorted(found.name for found in bpy.context.scene.objects) == ["fire a", "fire b"]
    assert {found.name for found in bpy.context.selected_objects} == {"fire a", "fire b"}
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (10, 20)
    assert bpy.ops.fluid_addon.import_bake(filepath=str(bake.folder)) == {"FINISHED"}
    assert len(bpy.context.scene.objects) == 4
    assert len(bpy.context.selected_objects) == 2


def test_the_operator_reports_what_is_wrong(bpy, addon, new_bake, tmp_path) -> None:
    addon.register()
    with pytest.raises(RuntimeError, match=r'There is no bake in ".*nothing".*Choose the folder'):
        bpy.ops.fluid_addon.import_bake(filepath=str(tmp_path / "nothing" / "manifest.json"))
    with pytest.raises(RuntimeError, match='The bake "smoke" has no finished frame yet'):
        bpy.ops.fluid_addon.import_bake(filepath=str(new_bake().folder))
    assert not len(bpy.context.scene.objects)


def test_a_collection_out_of_view_is_no_obstacle(bpy, addon, new_bake) -> None:
    addon.register()
    hidden = bpy.data.collections.new("Hidden")
    bpy.context.scene.collection.children.link(hidden)
    layer = bpy.context.view_layer.layer_collection.children["Hidden"]
    bpy.context.view_layer.active_layer_collection = layer
    layer.exclude = True
    with bpy.context.temp_override(collection=hidden):
        assert bpy.ops.fluid_addon.import_bake(filepath=str(new_bake("a_1.vdb").folder)) == {"FINISHED"}
    assert [found.name for found in hidden.objects] == ["smoke"]


# ===== The manifest


@pytest.fixture(scope="module")
def manifest() -> dict:
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))


def test_the_manifest_keeps_the_rules_of_the_platform(manifest) -> None:
    assert (manifest["schema_version"], manifest["id"], manifest["type"]) == ("1.0.0", "fluid_addon", "add-on")
    assert manifest["name"] == "Fluid Script"
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert manifest["blender_version_min"] == "4.5.0"
    assert manifest["maintainer"] == "Fluid Script contributors"
    texts = [manifest["tagline"], *manifest["permissions"].values()]
    assert all(0 < len(text) <= 64 and text[-1] not in ".!?,;:" for text in texts)
    assert set(manifest["permissions"]) == {"files"}
    assert not re.search("blender", f"{manifest['name']} {manifest['tagline']} {manifest['id']}", re.IGNORECASE)
    assert all(manifest.values()), "a value that is present may not be empty"


def test_blenders_own_tool_accepts_the_manifest(bpy) -> None:
    (tool,) = Path(bpy.utils.resource_path("LOCAL")).glob("scripts/addons_core/bl_pkg/cli/blender_ext.py")
    told = subprocess.run([sys.executable, tool, "validate", ROOT], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_what_cannot_be_enabled_whole_leaves_nothing_behind(bpy, addon, monkeypatch) -> None:
    """As where another add-on has taken the name of the command, the last thing that is registered."""
    before = entries_of_the_import_menu(bpy), set(dir(bpy.types))

    def taken(*_: object) -> None:
        raise RuntimeError("the name is taken")

    with monkeypatch.context() as patch:
        patch.setattr(bpy.utils, "register_cli_command", taken)
        with pytest.raises(RuntimeError, match="the name is taken"):
            addon.register()
    assert (entries_of_the_import_menu(bpy), set(dir(bpy.types))) == before
    addon.register()
    assert is_there(bpy)
    addon.unregister()
