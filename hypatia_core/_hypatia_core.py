"""The native module under its bare name.

`import _hypatia_core` gives the very module that the package has loaded: one copy in a process, chosen and
checked by the package's loader. Python code should `import hypatia_core`.
"""

import sys

import hypatia_core

sys.modules[__name__] = hypatia_core._hypatia_core
