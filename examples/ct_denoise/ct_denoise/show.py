"""The demo's output in the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ct_denoise import encrypted
from ct_denoise.network import UNIT_HU

EXECUTIONS = {
    "float": ("onnxruntime", None),
    "poly": ("fixed point", "poly_vs_float"),
    "simulated": ("slots in the clear", "simulated_vs_poly"),
    "encrypted": ("OpenFHE", "encrypted_vs_simulated"),
}


@contextmanager
def progress_bar() -> Iterator[encrypted.Progress]:
    """A bar with an estimate on standard error, so that standard output holds results alone."""
    columns = (TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda done, what: bar.update(task, completed=done, description=what)


def show(result: dict[str, Any]) -> None:
    """Print quality, the four executions, what the encrypted one took, and whether it is exact."""
    console = Console()
    if result["quality"]:
        console.print(quality_table(result["quality"]))
    console.print(executions_table(result))
    console.print(costs(result), highlight=False)
    console.print(f"files:  {result['files']['dicom']}  {result['files']['picture']}", highlight=False, soft_wrap=True)
    console.print(verdict(result), highlight=False)


def quality_table(quality: dict[str, dict[str, float]]) -> Table:
    """PSNR and SSIM of each image, in the window -1000..400 HU."""
    table = Table("image", "PSNR, dB", "SSIM", title="Against the original")
    for name, score in quality.items():
        table.add_row(name, f"{score['psnr_db']:.2f}", f"{score['ssim']:.4f}")
    return table


def executions_table(result: dict[str, Any]) -> Table:
    """The four executions, and how far each is from the one before."""
    table = Table(
        "execution", "what runs", "gap, HU", "its bound", title="Four executions, and the gap of each to the one before"
    )
    for name, (what, gap) in EXECUTIONS.items():
        table.add_row(name, what, *(gap_cells(result["gaps"][gap]) if gap else ("", "")))
    return table


def gap_cells(gap: dict[str, Any]) -> tuple[str, str]:
    """A gap and its bound in HU."""
    bound = gap["bound"]
    return f"{gap['max_abs'] * UNIT_HU:.4g}", f"{bound['value'] * UNIT_HU:.4g} ({bound['kind']})"


def costs(result: dict[str, Any]) -> str:
    """Rounds, bytes and seconds of the encrypted execution."""
    seconds, size = result["seconds"], {name: count / 1e6 for name, count in result["bytes"].items()}
    return (
        f"{result['rounds']} rounds;  {size['up']:.1f} MB up, {size['down']:.1f} MB down, keys {size['keys']:.2f} MB;  "
        f"encrypted part {seconds['total']:.1f} s (client {seconds['client']:.1f}, server {seconds['server']:.1f}), "
        f"keys {seconds['keys']:.1f} s;  peak memory {result['peak_rss'] / 1e9:.1f} GB"
    )


def verdict(result: dict[str, Any]) -> str:
    """The last line."""
    pixels = result["pixels"][0] * result["pixels"][1]
    if result["equal"]:
        return f"encrypted == fixed point, bit for bit: {result['differences']} differences in {pixels} pixels"
    return f"NOT EQUAL: encrypted and fixed point differ in {result['differences']} of {pixels} pixels"
