"""The benchmark's arithmetic and its report; what it measures is not tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.harness import rounds
from benchmarks.harness.bench import Bench
from benchmarks.harness.chips import ChipPool
from benchmarks.harness.environments import EVERY, REQUIREMENTS, read_requirements
from benchmarks.harness.figures import Figures
from benchmarks.harness.gpu import busy_seconds
from benchmarks.harness.measure import CommandFailed, Run, Slope, run_measured, slope_between
from benchmarks.harness.systems import LIKELY_CHIPS_PER_S, SCRIPTS
from benchmarks.harness.targets import OURS, PEERS, TARGETS, judge, shared_limit
from benchmarks.reports.picture import bars_for, draw
from benchmarks.reports.report import as_json, as_text, write_json
from benchmarks.scoring import PARTS, _parser
from pipelines.scoring.devices import find_gpu
from pipelines.scoring.tuning import TUNED_FROM_CHIPS
from tests.support.samples import make_artifact, write_chips

AVX2 = {"amx_bf16": False, "avx512_bf16": False, "avx512_vnni": False, "avx2": True}
VNNI = {**AVX2, "avx512_vnni": True}
AMX = {**VNNI, "amx_bf16": True}
MACHINE = {
    "date": "2026-07-01 12:00",
    "processor": "a processor",
    "cores": 2,
    "flags": AVX2,
    "memory_gb": 8.0,
    "load_at_start": 0.1,
    "python": "3.12.0",
    "versions": {"tensorflow": "2.21.0"},
}
NAMES = {
    "vgg16_of_limit",
    "int8_of_tensorflow",
    "int8_of_fastest_right_peer",
    "vgg16_of_fastest_peer",
    "cpu_outside_model_of_fastest_peer",
    "host_path_of_limit",
    "host_path_of_fastest_right_peer",
    "tif_host_path_of_limit",
    "tif_decode_of_fastest_way",
    "store_cpu_ms",
    "store_cpu_of_google",
    "startup_of_script",
    "startup_s",
    "memory_gb",
    "vgg16_memory_gb",
    "memory_difference",
    "rate_large_of_small",
    "labels_differing_share",
    "int8_labels_differing_share",
    "training_of_constant_batch",
    "training_memory_gb",
}


def run_of(seconds: float, cpu_seconds: float = 0.0, peak_bytes: int = 0) -> Run:
    return Run(seconds, cpu_seconds, peak_bytes, "")


def figures_of(**values: list[float]) -> Figures:
    """Figures by name, `__` for the dots."""
    figures = Figures()
    for name, repeats in values.items():
        for value in repeats:
            figures.add(name.replace("__", "."), value, "chips/s")
    return figures


def verdict(name: str, figures: Figures, flags: dict[str, bool] = AVX2):
    return next(v for v in judge(figures, flags) if v.name == name)


# --- Arithmetic ---------------------------------------------------------------------------------


def test_a_slope_excludes_the_start_up() -> None:
    slope = slope_between((1000, run_of(6.0, 11.0, 900)), (5000, run_of(14.0, 23.0, 800)))
    assert slope.chips_per_s == 500
    assert slope.startup_s == 4
    assert slope.cpu_ms_per_chip == 3
    assert slope.peak_bytes == 900


def test_sizes_that_are_too_close_are_refused() -> None:
    with pytest.raises(ValueError, match="larger"):
        slope_between((1000, run_of(6.0)), (1000, run_of(7.0)))
    with pytest.raises(ValueError, match="no longer"):
        slope_between((1000, run_of(6.0)), (2000, run_of(6.0)))


def test_the_limit_of_two_that_share_the_cores_is_below_both() -> None:
    assert shared_limit(100, 100) == pytest.approx(50)
    assert shared_limit(45, 5000) == pytest.approx(44.6, abs=0.01)


def test_a_ratio_uses_neighbouring_repeats_so_that_drift_cancels() -> None:
    figures = figures_of(a=[90, 45, 9], b=[100, 50, 10])
    assert figures.ratio("a", "b") == pytest.approx(0.9)
    assert figures.spread("a") == pytest.approx(81 / 45)
    figures.add("a", 1000, "chips/s")  # no longer neighbours
    assert figures.ratio("a", "b") == pytest.approx(67.5 / 50)


def test_sizes_are_whole_batches_that_differ_by_the_requested_seconds() -> None:
    few, many = Bench.sizes_for(1000, 10)
    assert few >= 256
    assert [few % 256, many % 256] == [0, 0]
    assert 10_000 <= many - few < 10_000 + 256


def test_on_a_gpu_both_sizes_are_so_large_that_the_job_tunes_itself() -> None:
    assert Bench.sizes_for(1000, 10, least=100_000) == (100_096, 100_096 + 10_240)
    few, many = Bench.sizes_for(100_000, 10, least=100_000)
    assert few == pytest.approx((many - few) / 5, rel=0.01)


def test_idle_time_of_a_gpu_is_separated_from_start_up_by_two_sizes() -> None:
    """Of 10 s more, kernels run in 9 s more; the start, with 5 s of tuning, counts for nothing."""
    small = replace(run_of(30.0), gpu_busy_seconds=7.0)
    large = replace(run_of(40.0), gpu_busy_seconds=16.0)
    assert slope_between((1000, small), (5000, large)).gpu_waiting_share == pytest.approx(0.1)
    assert slope_between((1000, run_of(30.0)), (5000, large)).gpu_waiting_share is None


def test_each_sample_counts_for_the_time_since_the_one_before() -> None:
    samples = """\
0, 2026/11/22 16:39:01.000, 90
0, 2026/11/22 16:39:01.200, 100
0, 2026/11/22 16:39:01.400, 50
0, 2026/11/22 16:39:01.600, 0
"""
    assert busy_seconds(samples) == pytest.approx(0.3)


def test_samples_of_several_gpus_are_kept_apart() -> None:
    samples = "\n".join(
        f"{index}, 2026/11/22 16:39:0{second}.000, {percent}"
        for second in range(5)
        for index, percent in ((0, 100), (1, 25))
    )
    assert busy_seconds(samples) == pytest.approx(5.0)


@pytest.mark.parametrize("samples", ["", "No devices were found", "0, 2026/11/22 16:39, [N/A]\n"])
def test_a_gpu_without_readable_samples_has_no_figure(samples) -> None:
    assert busy_seconds(samples) is None


def test_a_run_is_watched_by_the_drivers_tool_which_is_not_counted_itself(
    tmp_path: Path, monkeypatch
) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    line = "print('0,', datetime.now().strftime('%Y/%m/%d %H:%M:%S.%f') + ', 50', flush=True)"
    tool.write_text(
        f"#!{sys.executable}\nimport sys, time\nfrom datetime import datetime\n"
        f"print(*sys.argv[1:], file=open({str(tmp_path / 'asked')!r}, 'w'))\n"
        f"while True:\n    {line}\n    sum(range(400_000))\n    time.sleep(0.02)\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    command = [sys.executable, "-c", "import time; time.sleep(1.5)"]
    run = run_measured(command, tmp_path, tmp_path / "run.log")
    assert run.gpu_busy_seconds == pytest.approx(run.seconds / 2, rel=0.4)
    assert run.cpu_seconds < 0.2  # the tool's would be half a second
    assert "--id=1 " in (tmp_path / "asked").read_text()


def test_on_a_gpu_the_report_has_rate_share_of_the_bare_model_and_idle_time(
    tmp_path: Path, monkeypatch
) -> None:
    """A model of 8,000 chips/s at 1,024 a call and 9,000 at 2,048, where 4,096 do not fit."""

    def measure(part, artifact, chips, **options):
        if part == "decode":
            return {"chips_per_s": 20_000.0, "cpu_ms_per_chip": 0.2}
        size = options.get("batch_size", 1024)
        asked.append((size, options["precision"]))
        if size == 4096:
            raise RuntimeError("DeviceOutOfMemory: no memory for 4096 chips at once")
        rate = 9000.0 if size == 2048 else 8000.0 if size == 1024 else 5000.0
        how = {"precision": "float16", "batch_size": size, "xla": size == 1024, "gpu": "T4"}
        how["engine"] = "tensorflow"
        return {"chips_per_s": rate, "cpu_ms_per_chip": 0.1, **how}

    def score_at_sizes(pool, artifact, sizes, work, *flags):
        scored.append(sizes)
        return Slope(7600.0, 20.0, 0.3, 10**9, 0.0, gpu_waiting_share=0.04)

    asked: list[tuple[int, str]] = []
    scored: list[tuple[int, int]] = []
    monkeypatch.setattr("benchmarks.parts.limits.measure", measure)
    monkeypatch.setattr("benchmarks.harness.ours.score_at_sizes", score_at_sizes)
    monkeypatch.setattr("benchmarks.harness.rounds.artifact_for", lambda *of: tmp_path)
    write_chips(tmp_path / "chips", 1)
    flags = ["--chips", str(tmp_path / "chips"), "--work", str(tmp_path / "work")]
    bench = Bench.prepare(_parser().parse_args(flags))
    bench.networks, bench.warm = ["vgg16"], True
    rounds.measure_limits_and_ours(bench)

    found = bench.figures
    assert found.median("ours.vgg16.jpg.chips_per_s") == 7600
    assert found.median("ours.vgg16.jpg.share_of_bare_model") == pytest.approx(0.95)
    assert found.median("ours.vgg16.jpg.gpu_waiting_share") == 0.04
    assert found.median("limits.vgg16.jpg.shared_chips_per_s") == 9000
    assert found.notes["gpu"] == "T4"
    assert found.notes["limits.vgg16.jpg.as_the_job"] == "tensorflow, batch size 1024, float16, XLA"
    assert found.notes["limits.vgg16.jpg.best"] == "tensorflow, batch size 2048, float16"
    assert len(scored) == 1
    assert scored[0][0] >= TUNED_FROM_CHIPS
    assert (4096, "float16") in asked
    assert {precision for _, precision in asked} == {"auto", "float16", "float32"}


def test_on_a_cpu_the_limit_is_that_of_the_fastest_engine_and_precision(
    tmp_path: Path, monkeypatch
) -> None:
    """int8 is the fastest, and the command is measured in it, too, and on TensorFlow."""
    rates = {
        ("openvino", "float32"): 90.0,
        ("openvino", "bfloat16"): 190.0,
        ("openvino", "int8"): 380.0,
        ("tensorflow", "float32"): 93.0,
        ("tensorflow", "bfloat16"): 180.0,
    }

    def measure(part, artifact, chips, **options):
        if part == "decode":
            return {"chips_per_s": 3800.0, "cpu_ms_per_chip": 0.2}
        engine, precision = options["engine"], options["precision"]
        engine = "openvino" if engine == "auto" else engine
        precision = "bfloat16" if precision == "auto" else precision
        how = {"engine": engine, "precision": precision, "xla": False, "gpu": ""}
        how["batch_size"] = options.get("batch_size", 256)
        return {"chips_per_s": rates[engine, precision], "cpu_ms_per_chip": 0.1, **how}

    def score_at_sizes(pool, artifact, sizes, work, *flags):
        scored.append(flags)
        return Slope(180.0 * len(scored), 20.0, 0.3, 10**9, 0.0)

    scored: list[tuple[str, ...]] = []
    monkeypatch.setattr("benchmarks.parts.limits.measure", measure)
    monkeypatch.setattr("benchmarks.harness.ours.score_at_sizes", score_at_sizes)
    monkeypatch.setattr("benchmarks.harness.rounds.artifact_for", lambda *of: tmp_path)
    write_chips(tmp_path / "chips", 1)
    flags = ["--chips", str(tmp_path / "chips"), "--work", str(tmp_path / "work")]
    bench = Bench.prepare(_parser().parse_args(flags))
    bench.networks, bench.warm = ["vgg16"], True
    rounds.measure_limits_and_ours(bench)

    found = bench.figures
    assert [tuple(flags[1::2]) for flags in scored] == [
        ("auto", "auto"),
        ("auto", "int8"),
        ("tensorflow", "auto"),
    ]
    assert found.notes["limits.vgg16.jpg.best"] == "openvino, batch size 256, int8"
    limit = found.median("limits.vgg16.jpg.shared_chips_per_s")
    assert limit == pytest.approx(shared_limit(380, 3800))
    own = found.median("limits.vgg16.jpg.job_shared_chips_per_s")
    assert own == pytest.approx(shared_limit(190, 3800))
    assert found.median("limits.vgg16.jpg.tensorflow.float32.batch_256.chips_per_s") == 93
    assert [found.median(f"ours.{name}.jpg.chips_per_s") for name in OURS] == [180, 360, 540]


# --- Targets and report -------------------------------------------------------------------------


def test_targets_keep_their_names() -> None:
    assert {target.name for target in TARGETS} == NAMES
    of_others = {"cpu_outside_model_of_fastest_peer", "int8_of_tensorflow"}
    assert {v.name for v in judge(Figures(), AMX)} == NAMES - of_others
    assert {v.name for v in judge(Figures(), VNNI)} == NAMES


def test_a_target_is_met_missed_or_not_measured() -> None:
    figures = figures_of(
        ours__vgg16__jpg__chips_per_s=[96], limits__vgg16__jpg__shared_chips_per_s=[100]
    )
    assert verdict("vgg16_of_limit", figures).met is True
    figures = figures_of(
        ours__vgg16__jpg__chips_per_s=[94], limits__vgg16__jpg__shared_chips_per_s=[100]
    )
    assert verdict("vgg16_of_limit", figures).met is False
    assert verdict("vgg16_of_limit", Figures()).met is None


def test_int8_is_compared_with_the_limit_with_tensorflow_and_with_the_fastest_peer() -> None:
    figures = figures_of(
        ours__vgg16__jpg__chips_per_s=[180, 90],
        ours__vgg16_int8__jpg__chips_per_s=[340, 170],
        ours__vgg16_tensorflow__jpg__chips_per_s=[170, 85],
        limits__vgg16__jpg__shared_chips_per_s=[350, 175],
        peers__daft__vgg16__chips_per_s=[85, 42.5],
        peers__tf_data__vgg16__chips_per_s=[100, 50],
        peers__tf_data__black_share=[1.0],
    )
    assert verdict("vgg16_of_limit", figures).value == pytest.approx(340 / 350)
    assert verdict("int8_of_tensorflow", figures, VNNI).value == pytest.approx(2)
    assert verdict("int8_of_fastest_right_peer", figures, VNNI).value == pytest.approx(4)
    assert verdict("vgg16_of_fastest_peer", figures, VNNI).value == pytest.approx(1.8)


def test_a_processor_with_amx_has_to_be_five_times_as_fast_as_peers() -> None:
    figures = figures_of(
        ours__vgg16__jpg__chips_per_s=[200],
        peers__daft__vgg16__chips_per_s=[100],
        peers__ray__vgg16__chips_per_s=[80],
    )
    assert verdict("vgg16_of_fastest_peer", figures).met is True
    assert verdict("vgg16_of_fastest_peer", figures).value == 2
    assert verdict("vgg16_of_fastest_peer", figures, AMX).met is False


def test_a_peer_that_decodes_to_black_does_not_count_on_the_host_path() -> None:
    figures = figures_of(
        ours__mean_colour__jpg__chips_per_s=[4000],
        peers__tf_data__mean_colour__chips_per_s=[2500],
        peers__tf_data__black_share=[1.0],
        peers__daft__mean_colour__chips_per_s=[1000],
        peers__daft__black_share=[0.0],
    )
    assert verdict("host_path_of_fastest_right_peer", figures).value == 4


def test_json_holds_figures_repeats_targets_notes_and_machine(tmp_path: Path) -> None:
    figures = figures_of(ours__vgg16__jpg__chips_per_s=[90, 110])
    figures.notes["peers.spark"] = "failed: no Java"
    path = tmp_path / "deep" / "figures.json"
    write_json(path, as_json(figures, judge(figures, AVX2), MACHINE))
    found = json.loads(path.read_text())
    assert found["figures"]["ours.vgg16.jpg.chips_per_s"] == {
        "value": 100,
        "unit": "chips/s",
        "spread": 0.2,
        "repeats": [90, 110],
    }
    assert set(found["targets"]) == NAMES - {"int8_of_tensorflow", "int8_of_fastest_right_peer"}
    assert found["targets"]["vgg16_of_limit"]["met"] is None
    assert found["notes"] == {"peers.spark": "failed: no Java"}
    assert found["machine"]["cores"] == 2


def test_the_text_has_machine_figure_spread_and_verdict() -> None:
    figures = figures_of(
        ours__vgg16__jpg__chips_per_s=[90, 110], limits__vgg16__jpg__shared_chips_per_s=[100, 100]
    )
    text = as_text(figures, judge(figures, AVX2), MACHINE)
    assert "a processor, 2 cores (avx2)" in text
    assert "| ours.vgg16.jpg.chips_per_s" in text
    assert "20.0%" in text
    assert "| met " in text
    assert "not measured" in text


def test_the_picture_marks_peers_that_decode_to_black(tmp_path: Path) -> None:
    figures = figures_of(
        ours__mean_colour__jpg__chips_per_s=[4000, 4200],
        peers__tf_data__mean_colour__chips_per_s=[2500],
        peers__tf_data__black_share=[1.0],
    )
    assert [bar[0] for bar in bars_for(figures, "mean_colour")] == [
        "this project",
        "tf.data + predict\n(decodes to black)",
    ]
    draw(tmp_path / "chart.png", figures, MACHINE)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


# --- Peers, chips, processes --------------------------------------------------------------------


def test_every_peer_has_a_script_and_pinned_requirements() -> None:
    sections = read_requirements(REQUIREMENTS.read_text(encoding="utf-8"))
    assert set(sections) == {EVERY, *PEERS}
    assert set(SCRIPTS) == set(LIKELY_CHIPS_PER_S) == set(PEERS)
    folder = REQUIREMENTS.parent / "peers"
    for script in SCRIPTS.values():
        assert len((folder / script).read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.parametrize("text", ["daft==1.0", "# [daft]\ndaft>=1.0"])
def test_requirements_without_section_or_pin_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not pinned"):
        read_requirements(text)


def test_a_few_pictures_fill_a_folder_of_any_size(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", 3)
    pool = ChipPool("jpg", tmp_path / "chips", tmp_path / "work")
    paths = sorted(pool.folder(7).iterdir())
    assert [path.name for path in paths] == [f"chip_{i:07d}.jpg" for i in range(7)]
    assert paths[0].read_bytes() == paths[3].read_bytes() != paths[1].read_bytes()
    with pytest.raises(ValueError, match="no tif chips"):
        ChipPool("tif", tmp_path / "chips", tmp_path / "work")


def test_a_run_is_measured_including_its_child_processes(tmp_path: Path) -> None:
    child = "x = bytearray(80_000_000); import time; time.sleep(0.6); sum(range(3_000_000))"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print(7)"
    run = run_measured([sys.executable, "-c", parent], tmp_path, tmp_path / "run.log")
    assert run.output == "7\n"
    assert run.seconds > 0.6
    assert 0 < run.cpu_seconds < run.seconds + 1
    assert run.peak_bytes > 80_000_000


def test_memory_mapped_from_a_file_is_not_counted_as_anonymous(tmp_path: Path) -> None:
    (tmp_path / "mapped").write_bytes(bytes(200_000_000))
    program = (
        "import mmap, time\n"
        "held = bytearray(60_000_000)\n"
        "file = open('mapped', 'rb')\n"
        "mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "total = sum(mapped[i] for i in range(0, len(mapped), 4096))\n"
        "time.sleep(0.6)\n"
    )
    run = run_measured([sys.executable, "-c", program], tmp_path, tmp_path / "run.log")
    assert 60_000_000 < run.peak_anonymous_bytes < 150_000_000
    assert run.peak_bytes > 250_000_000


def test_a_failed_run_reports_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no such thing"):
        run_measured(
            [sys.executable, "-c", "raise SystemExit('no such thing')"],
            tmp_path,
            tmp_path / "run.log",
        )


def test_without_a_gpu_the_script_for_one_stops_and_names_the_reason(
    tmp_path: Path, capsys
) -> None:
    if find_gpu():
        pytest.skip("there is a GPU here")
    assert gpu.main(["--work", str(tmp_path / "work")]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu: TensorFlow finds no GPU here\n"


def test_on_a_gpu_both_archives_are_so_large_that_the_job_is_tuned(tmp_path: Path) -> None:
    asked = gpu._parser().parse_args(["--work", str(tmp_path), "--chips", str(tmp_path)])
    bench = _parser().parse_args(gpu.bench_flags(asked))
    assert bench.sizes == (100_096, 200_192)
    assert min(bench.sizes) >= TUNED_FROM_CHIPS
    assert (bench.only, bench.networks, bench.media_type) == (["limits", "ours"], ["vgg16"], "jpg")
    assert (bench.chips, bench.json) == (tmp_path, tmp_path / "bench.json")


def test_the_script_for_a_gpu_goes_on_after_a_step_that_failed(tmp_path: Path, capsys) -> None:
    make_artifact(tmp_path / "model")
    flags = ["--work", str(tmp_path / "work"), "--chips", str(tmp_path / "no-chips")]
    flags += ["--artifact", str(tmp_path / "model"), "--most", "4", "--without_gpu"]
    assert gpu.main([*flags, "--only", "labels", "tuning"]) == 1
    steps = json.loads((tmp_path / "work" / "gpu.json").read_text())["steps"]
    assert "no-chips" in steps["labels"]["failed"]
    tuning = steps["tuning"]["found"]
    assert list(tuning["sizes"]) == ["256"]
    assert tuning["sizes"]["256"]["with_xla_chips_per_s"] is None
    assert (tuning["gpu"], tuning["tuned"]["batch_size"]) == ("no GPU here", 256)
    assert tuning["gain"] == pytest.approx(
        tuning["tuned"]["chips_per_s"] / tuning["untuned"]["chips_per_s"]
    )


def test_help_names_every_part() -> None:
    command = [sys.executable, "-m", "benchmarks.scoring", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(part in done.stdout for part in PARTS)
