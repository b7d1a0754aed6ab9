"""The risk-coverage curve: what the error rate would be if the network answered only where it is confident."""

from pathlib import Path

import pandas as pd

from heldout.evaluation.plots import style


def risk_coverage(
    curve: pd.DataFrame, scores: dict[str, float], calibration: dict[str, float], path: str | Path
) -> None:
    """The error rate of the most confident images by their fraction of all, with the target and the threshold's point.

    Args:
        curve: of metrics/risk_coverage.csv: coverage and risk.
        scores: of metrics/eval.json: area_under_risk_coverage; selective_accuracy and selective_coverage, what the
            threshold gives (no point where it keeps no image).
        calibration: of metrics/calibration.json: threshold and target_accuracy.
        path: the PNG.
    """
    target = calibration["target_accuracy"]
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 4), layout="constrained")
    curve = curve.sort_values("coverage", kind="stable")
    area = scores["area_under_risk_coverage"]
    axes.plot(curve["coverage"], curve["risk"], color=style.BRIGHT[0], label=f"test images, area {area:.4f}")
    label = f"target: accuracy {target:g}, error rate {1 - target:.3g}"
    axes.axhline(1 - target, color="gray", linestyle=":", label=label)
    if coverage := scores.get("selective_coverage", 0):
        risk = 1 - scores["selective_accuracy"]
        label = f"threshold {calibration['threshold']:.3f} (from validation): answers {coverage:.1%}, errs {risk:.2%}"
        axes.plot(coverage, risk, "D", color=style.BRIGHT[1], markersize=8, label=label, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.1 * max(curve["risk"].max(), 1 - target, 0.001)))
    axes.set(xlabel="coverage: fraction of the images that get an answer", ylabel="risk: error rate of the answers")
    axes.set_title("Error rate when the least confident images are left to a person")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    style.save(figure, path)
