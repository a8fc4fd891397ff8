"""gunicorn with two workers on a free port; prints READY with its pid and the port. Ends when it is killed.

usage: gunicorn_master.py [OPTION of gunicorn…]
"""

import os
import sys

from gunicorn.app.wsgiapp import run

if __name__ == "__main__":
    settings = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_gunicorn_settings.py")
    sys.argv[1:1] = ["--config", settings]
    run()
