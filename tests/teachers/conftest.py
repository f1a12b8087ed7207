import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tiny_world; importlib mode adds no folder of its own
