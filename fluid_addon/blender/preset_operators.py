# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with presets: add one to the scene, save a simulation as one, give them away, take them in."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..diagnostics import FluidError, fail
from ..run.preset_archive import export_presets, import_presets
from ..run.presets import Preset, find_preset, list_presets, name_from_title, remove_preset, save_preset
from ..volumes.obj_reader import read_obj
from . import live, parameters, preset_library, simulation, thumbnail, trust
from .package import say
from .text_operators import new_text

__all__: list[str] = []


class _OfPreset:
    """Operators that work on one preset, and tell about it where the mouse rests on their button."""

    name: StringProperty(name="Preset", description='Its folder\'s name; an own one is "user/" and that name')

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        preset = preset_library.find(properties.name)
        return (
            f"{cls.__doc__}\n\n{preset.title}: {preset.description}" if preset and not preset.problem else cls.__doc__
        )


class FLUID_ADDON_OT_add_preset(_OfPreset, bpy.types.Operator):  # noqa: N801 - Blender takes the name apart
    """Add the preset's script and a simulation that runs it"""

    bl_idname = "fluid_addon.add_preset"
    bl_label = "Add Preset"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene is not None and context.scene.library is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            preset = find_preset(self.name, *preset_library.folders())
            source = preset.source()
        except FluidError as error:
            return say(self, error)
        text = new_text(preset.name, source)
        if preset.origin == "imported":
            trust.came_from(text, str(preset.script))
        else:
            trust.remember(text)
        if preset.extra_files:
            text[live.PRESET] = preset.name
        _bring_meshes(context, preset)
        found = simulation.new_simulation(context.scene, text, preset.title, _collection(context))
        parameters.bring_values(found, preset.values)
        _select(context, found)
        _show(context, text)
        if not trust.untrusted_texts(text):
            _find_parameters(found, context.scene)
        self.report({"INFO"}, f'Added "{preset.title}": press Run Simulation')
        return {"FINISHED"}


def _collection(context: bpy.types.Context) -> bpy.types.Collection:
    chosen = getattr(context, "collection", None)
    return chosen if chosen is not None and chosen.library is None else context.scene.collection


def _bring_meshes(context: bpy.types.Context, preset: Preset) -> None:
    """Put the meshes that the script asks for into the scene, where it has no objects of these names yet."""
    for file in preset.extra_files:
        if file.suffix == ".obj" and file.stem not in context.scene.objects:
            read = read_obj(file)
            mesh = bpy.data.meshes.new(file.stem)
            mesh.from_pydata(read.points.tolist(), [], read.triangles.tolist())
            _collection(context).objects.link(bpy.data.objects.new(file.stem, mesh))


def _select(context: bpy.types.Context, found: bpy.types.Object) -> None:
    """Select just this object; a collection that the view layer leaves out has none to select."""
    layer = context.view_layer
    if layer.objects.active is not None and layer.objects.active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in layer.objects:
        if other.select_get():
            other.select_set(False)
    if found.name in layer.objects:
        found.select_set(True)
        layer.objects.active = found


def _show(context: bpy.types.Context, text: bpy.types.Text) -> None:
    """Show a text in the editor in which the mouse is, else in one that shows nothing."""
    if context.space_data is not None and context.space_data.type == "TEXT_EDITOR":
        context.space_data.text = text
        return
    areas = context.window.screen.areas if context.window is not None else []
    for area in areas:
        if area.type == "TEXT_EDITOR" and area.spaces.active.text is None:
            area.spaces.active.text = text
            return


def _find_parameters(found: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Look through the script, so that its sliders appear; what is wrong with it is said in the panel."""
    live.start(found, scene, verb="check")
    if bpy.app.background:
        live.wait(found.fluid_addon.token, lambda _event: None)


class FLUID_ADDON_OT_save_preset(bpy.types.Operator):  # noqa: N801
    """Keep the simulation's script and the values of its parameters as a preset of your own"""

    bl_idname = "fluid_addon.save_preset"
    bl_label = "Save as Preset"
    bl_options: ClassVar = {"REGISTER"}

    simulation: StringProperty(name="Simulation", options={"HIDDEN", "SKIP_SAVE"})
    title: StringProperty(name="Title", description="What the preset is called", maxlen=60)
    about: StringProperty(name="Description", description="What it shows, in a sentence", maxlen=400)
    tags: StringProperty(name="Tags", description="Words to find it by, parted by commas", maxlen=200)
    picture: EnumProperty(
        name="Picture",
        description="Where its thumbnail comes from",
        items=[
            ("VIEW", "3D View", "What the 3D View shows, without overlays"),
            ("RENDER", "Last Render", "The middle of the last rendered picture"),
            ("PLAIN", "Plain", "A drawn cloud"),
        ],
        default="PLAIN",
    )
    replace: BoolProperty(name="Replace", description="Take the place of your preset of that title")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if _shown(context) is None:
            cls.poll_message_set("Select a simulation first")
            return False
        return True

    def _simulation(self, context: bpy.types.Context) -> bpy.types.Object:
        found = context.scene.objects.get(self.simulation) if self.simulation else _shown(context)
        if not simulation.is_simulation(found):
            raise fail("no-simulation", "No simulation is chosen.", "Select its object, or add a preset.")
        if found.fluid_addon.text is None:
            raise fail("script-missing", f'"{found.name}" has no script.', "Write a script in Lua first.")
        if trust.untrusted_texts(found.fluid_addon.text):  # among your own presets it would be trusted
            message = f'The script of "{found.name}" came with a file, and you have not trusted it yet.'
            raise fail("untrusted-script", message, "Press Run Simulation, read it, and trust it.")
        return found

    def _replaced(self) -> Preset | None:
        """The own preset whose place this one would take."""
        name = name_from_title(self.title)
        return next((p for p in preset_library.all_presets() if p.is_own and p.name == name), None)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        try:
            found = self._simulation(context)
        except FluidError as error:
            return say(self, error)
        self.simulation, self.title, self.about, self.tags, self.replace = found.name, found.name, "", "", False
        same = self._replaced()
        if same is not None:
            self.about, self.tags = same.description, ", ".join(same.tags)
        self.picture = "VIEW" if thumbnail.can_see(context) else "PLAIN"
        return context.window_manager.invoke_props_dialog(self, title="Save as Preset", confirm_text="Save")

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "title")
        layout.prop(self, "about")
        layout.prop(self, "tags", placeholder="smoke, fire")
        layout.prop(self, "picture")
        same = self._replaced()
        if same is not None:
            layout.label(text=f'You have a preset "{same.title}" already', icon="INFO")
            layout.prop(self, "replace")

    def execute(self, context: bpy.types.Context) -> set[str]:
        title = " ".join(self.title.split())
        try:
            found = self._simulation(context)
            if not title:
                raise fail("preset-broken", "The preset has no title.", "Give it one.")
            picture, taken = self._picture(context, title)
            made = save_preset(
                preset_library.own_folder(),
                name_from_title(title),
                title,
                " ".join(self.about.split()) or title,
                [tag.strip() for tag in self.tags.split(",") if tag.strip()],
                found.fluid_addon.text.as_string(),
                parameters.current_values(found),
                picture,
                replace=self.replace,
            )
        except FluidError as error:
            return say(self, error)
        preset_library.refresh()
        context.window_manager.fluid_addon_preset = made.key
        self.report({"INFO"}, f'Saved "{title}" among your presets, with {taken} as its picture')
        return {"FINISHED"}

    def _picture(self, context: bpy.types.Context, title: str) -> tuple[bytes, str]:
        """A thumbnail as PNG, and in words where it comes from."""
        if self.picture == "RENDER" and (taken := thumbnail.of_last_render(context.scene)) is not None:
            return taken, "the last render"
        if self.picture != "PLAIN" and (taken := thumbnail.of_view(context)) is not None:
            return taken, "the 3D View"
        return thumbnail.plain(sum(title.encode())), "a drawn cloud"


def _shown(context: bpy.types.Context) -> bpy.types.Object | None:
    active = context.view_layer.objects.active if context.view_layer else None
    return active if simulation.is_simulation(active) else None


class FLUID_ADDON_OT_remove_preset(_OfPreset, bpy.types.Operator):  # noqa: N801
    """Delete this preset of yours from the disk"""

    bl_idname = "fluid_addon.remove_preset"
    bl_label = "Remove Preset"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        preset = preset_library.find(self.name)
        title = preset.title if preset else self.name
        return context.window_manager.invoke_confirm(
            self, event, title=f'Remove "{title}"?', message="Its files are deleted.", confirm_text="Remove"
        )

    def execute(self, _context: bpy.types.Context) -> set[str]:
        preset = next((p for p in list_presets(*preset_library.folders()) if p.key == self.name), None)
        try:
            if preset is None:
                raise fail("usage", f'There is no preset "{self.name}".', "Reload the presets.")
            remove_preset(preset)
        except FluidError as error:
            return say(self, error)
        finally:
            preset_library.refresh()
        self.report({"INFO"}, f'Removed "{preset.title}"')
        return {"FINISHED"}


class _OfZip:
    filepath: StringProperty(name="File", description="A zip of presets", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.zip", options={"HIDDEN"})


class FLUID_ADDON_OT_export_presets(_OfZip, bpy.types.Operator):  # noqa: N801
    """Write your presets into a zip, to keep or to give away"""

    bl_idname = "fluid_addon.export_presets"
    bl_label = "Export Presets"
    bl_options: ClassVar = {"REGISTER"}

    name: StringProperty(
        name="Preset", description="The one to export; by default all of yours", options={"HIDDEN", "SKIP_SAVE"}
    )
    check_existing: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = f"{self.name.rpartition('/')[2] or 'fluid_presets'}.zip"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".zip"))
        try:
            if self.name:
                presets = [find_preset(self.name, *preset_library.folders())]
            else:
                presets = [p for p in list_presets(preset_library.own_folder()) if p.problem is None]
            if not presets:
                raise fail("usage", "You have no presets of your own yet.", "Save a simulation as a preset first.")
            export_presets(presets, path)
        except FluidError as error:
            return say(self, error)
        self.report({"INFO"}, f'Wrote {_count(presets)} to "{path}"')
        return {"FINISHED"}


class FLUID_ADDON_OT_import_presets(_OfZip, bpy.types.Operator):  # noqa: N801
    """Take the presets of a zip in among yours; their scripts are shown before they run"""

    bl_idname = "fluid_addon.import_presets"
    bl_label = "Import Presets"
    bl_options: ClassVar = {"REGISTER"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            names = import_presets(Path(bpy.path.abspath(self.filepath)), preset_library.own_folder())
        except FluidError as error:
            return say(self, error)
        preset_library.refresh()
        context.window_manager.fluid_addon_preset = f"user/{names[0]}"
        self.report({"INFO"}, f"Imported {_count(names)}")
        return {"FINISHED"}


def _count(of: list) -> str:
    return f"{len(of)} preset{'s' if len(of) != 1 else ''}"


class FLUID_ADDON_OT_reload_presets(bpy.types.Operator):  # noqa: N801
    """Look for presets on the disk again"""

    bl_idname = "fluid_addon.reload_presets"
    bl_label = "Reload Presets"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        preset_library.refresh()
        return {"FINISHED"}


class FLUID_ADDON_OT_choose_preset(_OfPreset, bpy.types.Operator):  # noqa: N801
    """Show what this preset is about"""

    bl_idname = "fluid_addon.choose_preset"
    bl_label = "About Preset"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        manager = context.window_manager
        manager.fluid_addon_preset = "" if manager.fluid_addon_preset == self.name else self.name
        return {"FINISHED"}


_CLASSES = (
    FLUID_ADDON_OT_add_preset,
    FLUID_ADDON_OT_save_preset,
    FLUID_ADDON_OT_remove_preset,
    FLUID_ADDON_OT_export_presets,
    FLUID_ADDON_OT_import_presets,
    FLUID_ADDON_OT_reload_presets,
    FLUID_ADDON_OT_choose_preset,
)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)
    bpy.types.WindowManager.fluid_addon_preset = StringProperty(
        name="Preset", description="The preset that is told about", options={"SKIP_SAVE"}
    )
    if not bpy.app.background:
        bpy.app.timers.register(preset_library.refresh, first_interval=0.0, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(preset_library.refresh):
        bpy.app.timers.unregister(preset_library.refresh)
    del bpy.types.WindowManager.fluid_addon_preset
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
    preset_library.free()
