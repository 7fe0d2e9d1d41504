"""What a running Slicer was seen to do, and its stand-in has to do as well: a fact, a test."""

from __future__ import annotations

import enum
import sys
import threading
from pathlib import Path
from typing import Annotated, Optional

import ctk
import pytest
import qt
import slicer
import vtk
from slicer.packaging import pip_ensure, pip_install
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

pytestmark = pytest.mark.usefixtures("slicer_host")

SECTION = """
<ui version="4.0">
 <class>Section</class>
 <widget class="qMRMLWidget" name="Section">
  <layout class="QVBoxLayout">
   <item>
    <widget class="ctkCollapsibleButton" name="button">
     <property name="text"><string>Inputs</string></property>
     <property name="collapsed"><bool>true</bool></property>
     <layout class="QVBoxLayout">
      <item>
       <widget class="qMRMLNodeComboBox" name="selector">
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="SlicerParameterName" stdset="0"><string>volume</string></property>
       </widget>
      </item>
      <item>
       <widget class="ctkPathLineEdit" name="folder">
        <property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Writable</set></property>
       </widget>
      </item>
      <item><widget class="QCheckBox" name="check"/></item>
     </layout>
    </widget>
   </item>
   <item><widget class="QPlainTextEdit" name="log"/></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
  <customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends></customwidget>
 </customwidgets>
 <connections>
  <connection>
   <sender>Section</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
 </connections>
</ui>
"""


@pytest.fixture
def section(tmp_path):
    """The root of the .ui file above, shown."""
    file = tmp_path / "Section.ui"
    file.write_text(SECTION)
    widget = slicer.util.loadUI(str(file))
    widget.show()
    return widget


@pytest.fixture
def ui(section):
    return slicer.util.childWidgetVariables(section)


@pytest.fixture
def selector(scene):
    """A list of volumes in which one is always chosen where there is one."""
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    return widget


def add_volume(name="a volume"):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


class Listener:
    """Bound methods that take as many arguments as their name says."""

    def __init__(self):
        self.heard = []

    def none(self):
        self.heard.append(())

    def one(self, first):
        self.heard.append((first,))

    def two(self, first, second):
        self.heard.append((first, second))


@pytest.fixture
def listener():
    return Listener()


# Connecting


def test_the_text_of_a_signal_connects_it_with_its_arguments(listener):
    button = qt.QPushButton()
    assert button.connect("clicked(bool)", listener.one) is True
    assert button.connect("clicked()", listener.none) is True
    button.clicked.connect(listener.one)
    button.click()
    assert listener.heard == [(False,), (), (False,)]


def test_a_slot_may_take_fewer_arguments_than_the_signal_has(listener):
    button = qt.QPushButton()
    button.connect("clicked(bool)", listener.none)
    button.connect("clicked(bool)", lambda: listener.heard.append("function"))
    button.click()
    assert listener.heard == [(), "function"]


def test_connecting_a_signal_that_does_not_exist_says_false_and_raises_nothing(listener):
    assert qt.QPushButton().connect("pushed(bool)", listener.one) is False


def test_the_same_slot_connected_twice_runs_twice(listener):
    button = qt.QPushButton()
    button.connect("clicked(bool)", listener.one)
    button.connect("clicked(bool)", listener.one)
    button.click()
    assert listener.heard == [(False,), (False,)]


def test_a_slot_of_another_object_is_connected_by_its_text():
    button, check = qt.QPushButton(), qt.QCheckBox()
    button.connect("clicked()", check, "toggle()")
    button.click()
    assert check.checked


def test_a_connected_method_keeps_its_object(listener):
    button, heard = qt.QPushButton(), listener.heard
    temporary = Listener()
    temporary.heard = heard
    button.connect("clicked()", temporary.none)
    del temporary
    button.click()
    assert heard == [()]


def test_disconnecting_works_by_text_and_by_attribute(listener):
    button = qt.QPushButton()
    button.connect("clicked(bool)", listener.one)
    button.disconnect("clicked(bool)", listener.one)
    button.clicked.connect(listener.one)
    button.clicked.disconnect(listener.one)
    button.click()
    assert listener.heard == []


def test_overloads_differ_by_their_argument(listener):
    combo = qt.QComboBox()
    combo.addItems(["a", "b"])
    combo.connect("currentIndexChanged(int)", listener.one)
    combo.connect("currentIndexChanged(QString)", listener.one)
    combo.currentIndexChanged.connect(listener.one)
    combo.setCurrentIndex(1)
    assert sorted(map(str, listener.heard)) == ["('b',)", "(1,)", "(1,)"]


# Properties


def test_properties_are_attributes_that_are_read_and_written():
    label, check, spin, edit = qt.QLabel("a"), qt.QCheckBox(), qt.QSpinBox(), qt.QPlainTextEdit()
    label.text, check.checked, spin.value, edit.plainText = "b", True, 7, "c"
    label.enabled, label.toolTip = False, "tip"
    assert (label.text, check.checked, spin.value, edit.plainText) == ("b", True, 7, "c")
    assert (label.enabled, label.toolTip, label.visible) == (False, "tip", False)


def test_a_combo_box_tells_its_text_and_count_as_attributes():
    combo = qt.QComboBox()
    combo.addItems(["a", "b"])
    assert (combo.currentText, combo.count, combo.currentIndex) == ("a", 2, 0)
    combo.currentText = "b"
    assert combo.currentIndex == 1


def test_calling_a_property_is_a_type_error():
    with pytest.raises(TypeError, match="'str' object is not callable"):
        qt.QLabel("a").text()


def test_methods_stay_beside_the_properties():
    label, check, edit = qt.QLabel(), qt.QCheckBox(), qt.QPlainTextEdit()
    label.setText("a")
    check.setChecked(True)
    edit.setPlainText("b")
    assert (label.text, check.isChecked(), check.isVisible(), edit.toPlainText()) == ("a", True, False, "b")


def test_objects_that_qt_makes_have_the_same_attributes():
    area = qt.QScrollArea()
    area.viewport().toolTip = "a"
    assert area.viewport().toolTip == "a"
    assert qt.QLabel("a").sizeHint.width() > 0


def test_an_attribute_that_a_widget_does_not_have_cannot_be_set():
    for widget in (qt.QLabel(), ctk.ctkPathLineEdit(), slicer.qMRMLNodeComboBox()):
        with pytest.raises(AttributeError, match="foo"):
            widget.foo = 1
        widget.setProperty("foo", 1)
        assert widget.property("foo") == 1


def test_a_class_derived_in_python_has_its_own_attributes():
    class Label(qt.QLabel):
        def __init__(self):
            super().__init__("a")
            self.foo = 1

    assert (Label().foo, Label().text) == (1, "a")


def test_a_python_object_can_have_signals(listener):
    class Source(qt.QObject):
        said = qt.Signal(str)

    source = Source()
    source.connect("said(QString)", listener.one)
    source.said.emit("a")
    assert listener.heard == [("a",)]


def test_an_exception_in_a_slot_ends_nothing(slicer_host, listener):
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.connect("clicked()", listener.none)
    button.click()
    assert listener.heard == [()]
    assert isinstance(slicer_host.exceptions.pop(), ZeroDivisionError)


def test_enums_are_flat():
    assert qt.QMessageBox.Yes != qt.QMessageBox.No
    assert qt.QSlider(qt.Qt.Vertical).orientation == qt.Qt.Vertical
    assert qt.QProcess().state() == qt.QProcess.NotRunning


# Processes, timers, threads


def test_a_finished_process_tells_its_code_by_attribute_and_its_status_too_by_text(listener, wait_until):
    process = qt.QProcess()
    process.finished.connect(lambda *arguments: listener.heard.append(arguments))
    process.connect("finished(int,QProcess::ExitStatus)", listener.two)
    process.start(sys.executable, ["-c", "raise SystemExit(3)"])
    wait_until(lambda: len(listener.heard) == 2)
    assert sorted(listener.heard, key=len) == [(3,), (3, qt.QProcess.NormalExit)]


def test_the_output_of_a_process_is_bytes_by_data(listener, wait_until):
    process = qt.QProcess()
    process.setProgram(sys.executable)
    process.setArguments(["-c", "print(input())"])
    process.connect("readyReadStandardOutput()", lambda: listener.heard.append(process.readAllStandardOutput()))
    process.start()
    process.write(b"hello\n")
    wait_until(lambda: listener.heard)
    assert listener.heard[0].data().strip() == b"hello"
    assert str(listener.heard[0]).strip() != "hello"


def test_a_terminated_process_has_crashed_with_its_signal(listener, wait_until):
    process = qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", listener.two)
    process.start(sys.executable, ["-c", "import time; time.sleep(60)"])
    assert process.waitForStarted()
    process.terminate()
    wait_until(lambda: listener.heard)
    assert listener.heard == [(15, qt.QProcess.CrashExit)]


def test_a_program_that_does_not_exist_is_an_error(listener, wait_until):
    process = qt.QProcess()
    process.connect("errorOccurred(QProcess::ProcessError)", listener.one)
    process.start("a-program-that-does-not-exist", [])
    wait_until(lambda: listener.heard)
    assert listener.heard == [(qt.QProcess.FailedToStart,)]


def test_timers_run_on_the_main_thread_only(listener, wait_until):
    thread = threading.Thread(target=lambda: qt.QTimer.singleShot(0, lambda: listener.heard.append("thread")))
    thread.start()
    thread.join()
    qt.QTimer.singleShot(20, lambda: listener.heard.append("main"))
    wait_until(lambda: "main" in listener.heard)
    assert listener.heard == ["main"]


def test_a_timer_is_connected_by_text(listener, wait_until):
    timer = qt.QTimer()
    timer.setInterval(5)
    timer.connect("timeout()", listener.none)
    timer.start()
    wait_until(lambda: len(listener.heard) > 1)
    timer.stop()
    assert not timer.active


def test_a_console_process_is_started_with_the_environment_of_the_application():
    process = slicer.util.launchConsoleProcess([sys.executable, "-c", "print(6 * 7)"])
    assert process.communicate()[0].strip() == "42"


# .ui files and the widgets of CTK


def test_every_named_widget_of_a_ui_file_is_found_also_those_of_qt_itself(ui):
    assert {"button", "selector", "folder", "check", "log", "qt_scrollarea_viewport"} <= set(vars(ui))
    assert type(ui.button) is ctk.ctkCollapsibleButton
    assert type(ui.check) is qt.QCheckBox


def test_a_widget_of_mrml_as_the_root_passes_the_scene_on(section, ui, scene):
    assert not ui.selector.enabled
    section.setMRMLScene(scene)
    assert ui.selector.mrmlScene() is scene
    assert ui.selector.enabled


def test_a_ui_file_that_does_not_exist_is_an_error():
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("/nowhere.ui")


def test_what_is_below_a_collapsed_button_cannot_be_seen_until_a_click_opens_it(ui, click):
    assert ui.button.collapsed
    assert not ui.check.visible
    click(ui.button)
    assert not ui.button.collapsed
    assert ui.check.visible


def test_what_was_hidden_stays_so_when_the_button_opens(ui):
    ui.button.collapsed = False
    ui.check.visible = False
    ui.button.collapsed = True
    ui.folder.visible = False
    ui.folder.visible = True
    assert not ui.folder.visible
    ui.button.collapsed = False
    assert ui.folder.visible
    assert not ui.check.visible


def test_a_collapsed_button_is_a_header(ui, section):
    ui.button.collapsed = False
    slicer.app.processEvents()
    opened = ui.button.height
    ui.button.collapsed = True
    slicer.app.processEvents()
    assert ui.button.height < opened / 2


def test_a_collapsible_group_box_folds_too(click):
    box = ctk.ctkCollapsibleGroupBox()
    box.title = "Advanced"
    layout = qt.QVBoxLayout(box)
    label = qt.QLabel("a")
    layout.addWidget(label)
    box.collapsed = True
    box.show()
    assert not label.visible
    box.collapsed = False
    assert label.visible


def test_a_slider_tells_its_number(listener):
    slider = ctk.ctkSliderWidget()
    slider.maximum, slider.singleStep, slider.decimals, slider.suffix = 1, 0.05, 2, " mm"
    slider.connect("valueChanged(double)", listener.one)
    slider.value = 0.35
    assert slider.value == pytest.approx(0.35)
    assert listener.heard == [(pytest.approx(0.35),)]


def test_a_path_is_typed_or_chosen_in_the_dialog_that_fits(ui, slicer_host, listener, click, tmp_path):
    ui.button.collapsed = False
    ui.folder.connect("currentPathChanged(QString)", listener.one)
    slicer_host.chosen_path = str(tmp_path)
    click(ui.folder.browseButton())
    assert ui.folder.currentPath == str(tmp_path)
    assert listener.heard[-1] == (str(tmp_path),)
    assert slicer_host.file_dialogs == ["Select a directory..."]
    assert ui.folder.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable


def test_items_can_be_checked(listener):
    combo = ctk.ctkCheckableComboBox()
    combo.addItems(["a", "b"])
    combo.connect("checkedIndexesChanged()", listener.none)
    combo.setCheckState(combo.model().index(1, 0), qt.Qt.Checked)
    assert [index.row() for index in combo.checkedIndexes()] == [1]
    assert listener.heard == [()]


@pytest.mark.parametrize(
    "name",
    [
        "ctkCollapsibleButton",
        "ctkCollapsibleGroupBox",
        "ctkPathLineEdit",
        "ctkSliderWidget",
        "ctkRangeWidget",
        "ctkCheckableComboBox",
        "ctkComboBox",
        "ctkMenuButton",
        "ctkMessageBox",
        "ctkSearchBox",
        "ctkFittedTextBrowser",
    ],
)
def test_a_widget_of_ctk_can_be_made(name):
    assert getattr(ctk, name)().isWidgetType()


@pytest.mark.parametrize(
    "name",
    [
        "qMRMLSegmentEditorWidget",
        "qMRMLSegmentsTableView",
        "qMRMLSegmentationShow3DButton",
        "qMRMLTableView",
        "qMRMLNodeComboBox",
        "qMRMLCheckableNodeComboBox",
        "qMRMLSubjectHierarchyTreeView",
        "qMRMLPlotView",
        "qMRMLPlotWidget",
        "qMRMLWidget",
    ],
)
def test_a_widget_of_mrml_can_be_made(name):
    assert getattr(slicer, name)().isWidgetType()


@pytest.mark.parametrize(
    "name",
    [
        "QProcess",
        "QThread",
        "QSettings",
        "QNetworkAccessManager",
        "QDesktopServices",
        "QTableWidget",
        "QTreeWidget",
        "QListWidget",
        "QFileDialog",
        "QSignalBlocker",
        "Signal",
        "QPixmap",
        "QIcon",
        "QUrl",
        "QUiLoader",
    ],
)
def test_a_class_of_qt_is_there(name):
    assert getattr(qt, name)


# Lists of nodes


def test_the_first_node_is_chosen_by_itself(selector, listener):
    selector.connect("currentNodeChanged(vtkMRMLNode*)", listener.one)
    volume = add_volume()
    add_volume("another")
    assert selector.currentNode() is volume
    assert selector.currentNodeID == volume.GetID()
    assert listener.heard == [(volume,)]


def test_no_node_is_chosen_where_none_is_an_answer(selector):
    selector.noneEnabled = True
    add_volume()
    assert selector.currentNode() is None
    assert selector.comboBox().currentText == "None"


def test_the_signal_comes_with_none_too_in_text_and_as_attribute(selector, listener):
    selector.noneEnabled = True
    volume = add_volume()
    selector.connect("currentNodeChanged(vtkMRMLNode*)", listener.one)
    selector.currentNodeChanged.connect(listener.one)
    selector.setCurrentNode(volume)
    selector.setCurrentNode(None)
    assert listener.heard == [(volume,), (volume,), (None,), (None,)]


def test_the_list_follows_the_scene(selector, scene):
    volume, other = add_volume(), add_volume("another")
    scene.AddNewNodeByClass("vtkMRMLTableNode")
    assert selector.nodeCount() == 2
    volume.SetName("renamed")
    assert selector.comboBox().currentText == "renamed"
    scene.RemoveNode(volume)
    assert selector.currentNode() is other
    scene.Clear()
    assert selector.currentNode() is None


def test_classes_below_the_wanted_one_can_be_left_out(selector, scene):
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0


# Parameters


class Speed(enum.Enum):
    SLOW = 1
    FAST = 2


@parameterNodeWrapper
class Parameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    device: Annotated[str, Choice(["auto", "cpu"])] = "auto"
    speed: Speed = Speed.FAST
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5
    turns: int = 3
    name: str
    check: bool = True
    folder: Path = Path("a")
    fold: Optional[int] = None
    labels: list[str]
    volumes: list[slicer.vtkMRMLScalarVolumeNode]


class ParametersLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return Parameters(super().getParameterNode())


@pytest.fixture
def parameters(scene):
    return ParametersLogic().getParameterNode()


def test_parameters_have_the_defaults_that_the_class_gives(parameters):
    assert (parameters.volume, parameters.device, parameters.speed) == (None, "auto", Speed.FAST)
    assert (parameters.smoothing, parameters.turns, parameters.name, parameters.check) == (0.5, 3, "", True)
    assert (parameters.folder, parameters.fold, parameters.labels) == (Path("a"), None, [])


def test_parameters_are_saved_with_the_scene(parameters, scene):
    parameters.volume, parameters.device, parameters.speed = add_volume(), "cpu", Speed.SLOW
    parameters.smoothing, parameters.fold, parameters.folder = 0.25, 2, Path("/data")
    parameters.check = False
    parameters.labels.append("LV")
    parameters.volumes = [parameters.volume]
    scene.SetSaveToXMLString(1)
    scene.Commit()
    text = scene.GetSceneXMLString()
    scene.Clear()
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    scene.Connect()
    loaded = ParametersLogic().getParameterNode()
    assert (loaded.volume.GetName(), loaded.device, loaded.speed) == ("a volume", "cpu", Speed.SLOW)
    assert (loaded.smoothing, loaded.fold, loaded.folder, loaded.check) == (0.25, 2, Path("/data"), False)
    assert (loaded.labels, loaded.volumes) == (["LV"], [loaded.volume])


def test_a_scene_has_one_parameter_node_a_module(parameters):
    parameters.turns = 8
    assert ParametersLogic().getParameterNode().turns == 8
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1


def test_a_value_out_of_the_choice_or_range_is_refused(parameters):
    with pytest.raises(ValueError, match="one of the following"):
        parameters.device = "gpu"
    with pytest.raises(ValueError, match="within range"):
        parameters.smoothing = 2.0
    with pytest.raises(TypeError, match="must be of type"):
        parameters.turns = "a"


def test_an_attribute_that_is_no_parameter_is_accepted_silently(parameters):
    parameters.devcie = "cpu"
    assert parameters.device == "auto"


class Gui:
    """Widgets as attributes, each bound to the parameter of its name."""

    def __init__(self, **widgets):
        for name, widget in widgets.items():
            widget.setProperty("SlicerParameterName", name)
            setattr(self, name, widget)


@pytest.fixture
def gui(scene):
    widgets = {"check": qt.QCheckBox(), "turns": qt.QSpinBox(), "name": qt.QLineEdit(), "speed": qt.QComboBox()}
    widgets |= {"device": qt.QComboBox(), "smoothing": ctk.ctkSliderWidget(), "folder": ctk.ctkPathLineEdit()}
    gui = Gui(volume=slicer.qMRMLNodeComboBox(), **widgets)
    gui.volume.setMRMLScene(scene)
    return gui


def test_widgets_show_the_parameter_that_they_name(parameters, gui):
    parameters.connectGui(gui)
    parameters.turns, parameters.device, parameters.smoothing, parameters.name = 700, "cpu", 0.25, "b"
    parameters.volume = volume = add_volume()
    assert (gui.turns.value, gui.device.currentText, gui.smoothing.value) == (700, "cpu", 0.25)
    assert (gui.name.text, gui.folder.currentPath, gui.speed.currentText) == ("b", "a", "FAST")
    assert gui.volume.currentNode() is volume


def test_what_is_set_in_a_widget_is_set_in_the_parameter(parameters, gui):
    parameters.connectGui(gui)
    gui.check.click()
    gui.turns.value, gui.name.text, gui.device.currentText, gui.smoothing.value = 5, "c", "cpu", 0.75
    gui.folder.currentPath, gui.speed.currentIndex = "/b", 0
    volume = add_volume()
    assert (parameters.check, parameters.turns, parameters.name, parameters.device) == (False, 5, "c", "cpu")
    assert (parameters.smoothing, parameters.folder, parameters.speed) == (0.75, Path("/b"), Speed.SLOW)
    assert parameters.volume is volume


def test_widgets_that_were_disconnected_are_left_alone(parameters, gui):
    tag = parameters.connectGui(gui)
    parameters.disconnectGui(tag)
    parameters.turns = 5
    gui.name.text = "d"
    assert (gui.turns.value, parameters.name) == (3, "")


def test_a_widget_that_cannot_show_its_type_is_an_error(parameters):
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectGui(Gui(folder=qt.QLineEdit()))
    with pytest.raises(ValueError, match="Cannot find a param"):
        parameters.connectGui(Gui(nothing=qt.QLineEdit()))


# The application


def test_confirmations_answer_no_at_once_unless_a_test_says_otherwise(slicer_host):
    assert slicer.app.testingEnabled()
    assert slicer.util.confirmOkCancelDisplay("Delete?") is False
    assert slicer.util.confirmYesNoDisplay("Delete?") is False
    slicer_host.confirm = True
    assert slicer.util.confirmOkCancelDisplay("Delete?") is True
    assert slicer.util.confirmYesNoDisplay("Delete?") is True
    assert slicer_host.texts("question") == ["Delete?"] * 4


def test_messages_close_by_themselves(slicer_host):
    slicer.util.errorDisplay("a")
    slicer.util.warningDisplay("b")
    slicer.util.infoDisplay("c")
    assert slicer_host.messages == [("error", "a"), ("warning", "b"), ("info", "c")]


def test_a_message_box_cannot_be_told_when_to_close():
    with pytest.raises(TypeError):
        slicer.util.messageBox("a", autoCloseMsec=100)


def test_the_packages_that_are_asked_for_are_noted_and_can_fail(slicer_host):
    pip_ensure("torch>=2.10 monai", requester="CardiacSeg")
    slicer.util.pip_install("scipy")
    assert slicer_host.asked_to_install == ["torch>=2.10", "monai", "scipy"]
    slicer_host.pip_error = RuntimeError("no network")
    with pytest.raises(RuntimeError, match="no network"):
        pip_install(["scipy"])


def test_links_are_noted_not_opened(slicer_host):
    assert qt.QDesktopServices.openUrl(qt.QUrl("https://www.slicer.org"))
    assert slicer_host.opened_urls == ["https://www.slicer.org"]


def test_a_box_that_waits_for_an_answer_gets_it(slicer_host):
    box = qt.QMessageBox()
    box.text = "Replace?"
    box.setStandardButtons(qt.QMessageBox.Yes | qt.QMessageBox.No)
    assert box.exec_() == qt.QMessageBox.No
    slicer_host.confirm = True
    assert box.exec_() == qt.QMessageBox.Yes


def test_an_exception_in_an_observer_ends_nothing_either(slicer_host, scene):
    volume = add_volume()
    volume.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: 1 / 0)
    volume.Modified()
    assert isinstance(slicer_host.exceptions.pop(), ZeroDivisionError)
    assert not slicer_host.exceptions


def test_a_table_follows_its_node(scene):
    view, node = slicer.qMRMLTableView(), scene.AddNewNodeByClass("vtkMRMLTableNode")
    view.setMRMLTableNode(node)
    node.AddColumn().SetName("EF")
    node.AddEmptyRow()
    node.SetCellText(0, 0, "55")
    assert (view.item(0, 0).text(), view.horizontalHeaderItem(0).text()) == ("55", "EF")


def test_the_segments_of_a_node_are_listed(scene):
    view, node = slicer.qMRMLSegmentsTableView(), scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    view.setSegmentationNode(node)
    node.GetSegmentation().AddEmptySegment("LV", "LV")
    assert [view.item(row, 0).text() for row in range(view.rowCount)] == ["LV"]


def test_volumes_are_shown_in_the_slice_views(scene):
    volume = add_volume()
    slicer.util.setSliceViewerLayers(background=volume)
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert [view.GetBackgroundVolumeID() for view in views] == [volume.GetID()] * 3


def test_what_the_layout_is_asked_for_is_noted(slicer_host):
    slicer.util.resetThreeDViews()
    slicer.app.layoutManager().setLayout(4)
    assert slicer_host.requests == [("resetThreeDViews", ()), ("setLayout", (4,))]


def test_settings_are_those_of_the_test(tmp_path):
    settings = qt.QSettings()
    settings.setValue("CardiacSeg/key", "value")
    settings.sync()
    assert slicer.util.settingsValue("CardiacSeg/key", "") == "value"
    assert tmp_path in Path(settings.fileName()).parents


# The module


def test_the_panel_opens_in_500_pixels(panel, screenshot):
    assert panel.parent.isEntered
    assert panel.parent.width == 500
    assert qt.QPixmap(str(screenshot(panel.parent, "panel"))).width() == 500


def test_the_module_registers_its_sample_data(module):
    assert slicer.modules.sampleDataSources["CardiacSeg"]


def test_reloading_makes_the_panel_anew(panel):
    slicer.util.reloadScriptedModule("CardiacSeg")
    assert slicer.modules.CardiacSegWidget is not panel
    assert slicer.modules.cardiacseg.widgetRepresentation().self() is slicer.modules.CardiacSegWidget


def test_qt_for_python_counts_the_references_of_none(application):
    label, before = qt.QLabel(), sys.getrefcount(None)
    for _ in range(1000):
        label.setText("a")
    assert abs(sys.getrefcount(None) - before) < 500, "this PySide6 will abort the process: install another version"
