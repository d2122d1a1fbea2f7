"""How the methods are computed fast and exactly. No norm is known here.

Each kernel is one public function, with its plain formula beside it.
"""
