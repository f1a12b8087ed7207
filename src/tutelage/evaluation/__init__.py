"""Evaluation on sealed gold: metrics with intervals, calibration, inherited errors, and the release gate."""

from tutelage.evaluation.arms import Arm
from tutelage.evaluation.bill_of_materials import bill_of_materials
from tutelage.evaluation.fitness import fitness_decision
from tutelage.evaluation.footprint import Footprint, measure_footprint
from tutelage.evaluation.frontier import Contender, Frontier, Standing, frontier_of
from tutelage.evaluation.intervals import proportion_interval
from tutelage.evaluation.metrics import evaluate
from tutelage.evaluation.model_card import model_card
from tutelage.evaluation.paired import mcnemar_exact, paired_difference_interval
from tutelage.evaluation.perturbations import PARAPHRASE, Expectation, Pair, Perturbation, known_perturbations
from tutelage.evaluation.predictions import predictions_table
from tutelage.evaluation.provenance import DataSet, File, Provenance
from tutelage.evaluation.release import release_decision
from tutelage.evaluation.report import render_report
from tutelage.evaluation.robustness import Answered, Perturbed, flips_table, measure_robustness
from tutelage.evaluation.safety import Declining, Reply, declining, measure_safety
from tutelage.evaluation.votes import JudgedPair, preference

__all__ = [
    "PARAPHRASE",
    "Answered",
    "Arm",
    "Contender",
    "DataSet",
    "Declining",
    "Expectation",
    "File",
    "Footprint",
    "Frontier",
    "JudgedPair",
    "Pair",
    "Perturbation",
    "Perturbed",
    "Provenance",
    "Reply",
    "Standing",
    "bill_of_materials",
    "declining",
    "evaluate",
    "fitness_decision",
    "flips_table",
    "frontier_of",
    "known_perturbations",
    "mcnemar_exact",
    "measure_footprint",
    "measure_robustness",
    "measure_safety",
    "model_card",
    "paired_difference_interval",
    "predictions_table",
    "preference",
    "proportion_interval",
    "release_decision",
    "render_report",
]
