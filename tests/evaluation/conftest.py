import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parent)
)  # for evaluation_world; importlib mode adds no folder of its own
