"""The risk-coverage curve: what the error rate would be if the network answered only where it is confident."""

from pathlib import Path

import pandas as pd

from heldout.evaluation.plots import style


def risk_coverage(curve: pd.DataFrame, area: float, target_accuracy: float, threshold: float, path: str | Path) -> None:
    """The error rate of the most confident images by their fraction of all, with the target and the threshold's point.

    Args:
        curve: of metrics/risk_coverage.csv: coverage, risk and threshold (the lowest confidence that is kept).
        area: below the curve.
        target_accuracy: what the threshold was to reach on the validation images.
        threshold: of the calibrated confidence; 0 keeps all.
        path: the PNG.
    """
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 4), layout="constrained")
    curve = curve.sort_values("coverage", kind="stable")
    axes.plot(curve["coverage"], curve["risk"], color=style.BRIGHT[0], label=f"test images, area {area:.4f}")
    target = f"target: accuracy {target_accuracy:g}, error rate {1 - target_accuracy:.3g}"
    axes.axhline(1 - target_accuracy, color="gray", linestyle=":", label=target)
    kept = curve[curve["threshold"] >= threshold]
    if len(kept):
        last = kept.iloc[-1]
        label = f"threshold {threshold:.3f} (from validation): answers {last['coverage']:.1%}, errs {last['risk']:.2%}"
        axes.plot(last["coverage"], last["risk"], "D", color=style.BRIGHT[1], markersize=8, label=label, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.1 * max(curve["risk"].max(), 1 - target_accuracy, 0.001)))
    axes.set(xlabel="coverage: fraction of the images that get an answer", ylabel="risk: error rate of the answers")
    axes.set_title("Error rate when the least confident images are left to a person")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    style.save(figure, path)
