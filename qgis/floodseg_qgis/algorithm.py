# SPDX-License-Identifier: GPL-2.0-or-later
"""What the algorithms have in common: a command of floodseg, run in a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFolderDestination,
)
from qgis.PyQt.QtGui import QIcon

from .interpreter import SETTING, InterpreterError, Machine, find_command
from .output import Output
from .parameters import Call, Option, further_flags, switch
from .process import CancelledError, OutputFolder, clean_environment, run
from .results import Figure, Product

OUTPUT, LOAD = "OUTPUT", "LOAD"


class FloodsegAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs one command of floodseg; its classes say which, and with which parameters."""

    NAME: ClassVar[str]
    LABEL: ClassVar[str]
    COMMAND: ClassVar[str]
    HELP: ClassVar[str]
    PRODUCTS: ClassVar[tuple[Product, ...]]
    FIGURES: ClassVar[tuple[Figure, ...]] = ()

    def options(self) -> list[Option]:
        """Return the parameters, with new definitions, since QGIS takes possession of them."""
        raise NotImplementedError

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        overwrite = switch("--overwrite", "Replace finished products in the output folder",
                           "Without it, a folder that holds finished products is refused.")  # fmt: skip
        self._options = [*self.options(), further_flags(self.COMMAND), overwrite]
        for option in self._options:
            self.addParameter(option.definition.clone())
        self.addParameter(QgsProcessingParameterFolderDestination(OUTPUT, "Output folder"))
        self.addParameter(QgsProcessingParameterBoolean(LOAD, "Add the results to the project", defaultValue=True))
        for output in (*self.PRODUCTS, *self.FIGURES):
            self.addOutput(output.definition())

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        out_dir = Path(self.parameterAsFileOutput(parameters, OUTPUT, context))
        try:
            start = find_command(ProcessingConfig.getSetting(SETTING), Machine())
        except InterpreterError as error:
            raise QgsProcessingException(str(error)) from error
        call = Call(self, parameters, context, feedback)
        words = [word for option in self._options for word in option.words(call)]
        self._run([*start, self.COMMAND, *words, "--out-dir", str(out_dir)], out_dir, feedback)
        if feedback.isCanceled():
            return {}
        if self.parameterAsBool(parameters, LOAD, context):
            self._load(out_dir, context)
        found = {product.output: product.source(out_dir) for product in self.PRODUCTS}
        figures = {figure.output: figure.value(out_dir) for figure in self.FIGURES}
        return {OUTPUT: str(out_dir), **{name: value for name, value in found.items() if value}, **figures}

    def _run(self, command: list[str], out_dir: Path, feedback: QgsProcessingFeedback) -> None:
        """Run a command.

        Raises:
            QgsProcessingException: the command failed, with the sentence that it printed.
        """
        feedback.pushCommandInfo(subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command))
        folder, output = OutputFolder(out_dir), Output(feedback)
        try:
            code = run(command, clean_environment(os.environ), output.line, feedback.isCanceled)
        except CancelledError:
            folder.remove_leftovers()
            feedback.pushInfo("Cancelled: floodseg has ended")
            return
        except OSError as error:
            raise QgsProcessingException(f"{command[0]}: cannot be started ({error.strerror})") from error
        if code:
            raise QgsProcessingException(output.error(command, code))

    def _load(self, out_dir: Path, context: QgsProcessingContext) -> None:
        """Have the layers added to the project after the run."""
        for product in self.PRODUCTS:
            source = product.source(out_dir) if product.is_layer else ""
            if source:
                context.addLayerToLoadOnCompletion(source, product.details(context.project(), out_dir))

    def canExecute(self) -> tuple[bool, str]:
        """Return whether floodseg is found; QGIS asks before it opens the dialog."""
        try:
            find_command(ProcessingConfig.getSetting(SETTING), Machine())
        except InterpreterError as error:
            return False, str(error)
        return True, ""

    def createInstance(self) -> FloodsegAlgorithm:
        return type(self)()

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:
        return self.LABEL

    def shortHelpString(self) -> str:
        return self.HELP

    def icon(self) -> QIcon:
        return QIcon(str(Path(__file__).with_name("icon.svg")))
