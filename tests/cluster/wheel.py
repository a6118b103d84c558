"""Makes the wheel of a package of pure Python in the folder where this runs.

    wheel.py PACKAGE VERSION FILES      FILES: JSON, {PATH: TEXT}
"""
import json, sys, zipfile
package, version, files = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
info = f"{package}-{version}.dist-info/"
files |= {
    info + "METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
    info + "WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    info + "RECORD": "",
}
with zipfile.ZipFile(f"{package}-{version}-py3-none-any.whl", "w") as wheel:
    for path, text in files.items():
        wheel.writestr(path, text)
