import pytest
from PIL import Image, ImageDraw


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Two classes of 40 small images that differ in what is drawn on them: learnable, quick."""
    root = tmp_path_factory.mktemp("photos")
    for label in ("bars", "dots"):
        (root / label).mkdir()
        for number in range(40):
            image = Image.new("RGB", (16, 16), (number * 5, 90, 120))
            draw = ImageDraw.Draw(image)
            shift = number % 4
            if label == "bars":
                draw.rectangle((2 + shift, 2, 4 + shift, 13), fill=(250, 250, 250))
            else:
                draw.ellipse((4 + shift, 5, 9 + shift, 10), fill=(250, 250, 250))
            image.save(root / label / f"{number:02d}.png")
    return root
