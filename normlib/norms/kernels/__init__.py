"""How the methods are computed fast and exactly: one public function a kernel, with its plain formula beside it. No norm is known here."""
