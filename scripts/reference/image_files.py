"""Image files of many sizes, modes and formats, for comparisons."""

import struct
import zlib

from images import draw
from PIL import Image

ORIENTATION = 0x0112
SIZES = [(64, 64), (90, 48), (41, 77), (24, 24), (32, 32), (7, 5), (200, 9), (301, 402)]


def exif(orientation):
    """What a camera notes that was turned."""
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found


def save_wide_png(path, image):
    """A PNG with 16 bits for each colour, which Pillow reads but does not write."""
    width, height = image.size
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += b"".join(struct.pack(">H", min(65535, value * 257 + x)) for value in image.getpixel((x, y)))

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*entry) for entry in chunks))


def with_transparency(image):
    """The image, more transparent towards the right."""
    alpha = Image.new("L", image.size)
    alpha.putdata([255 - 255 * (place % image.width) // image.width for place in range(image.width * image.height)])
    image = image.convert("RGBA")
    image.putalpha(alpha)
    return image


def save_images(folder):
    """Makes the files in `folder` and returns their paths; those called `rgb-` differ only in size."""
    paths = []

    def save(name, image, **options):
        path = folder / name
        image.save(path, **options)
        paths.append(path)

    for width, height in SIZES:
        save(f"rgb-{width}x{height}.png", draw(width, height))
    base = draw(90, 60)
    grey, colours = base.convert("L"), base.quantize(16)
    for name, image in [("grey", grey), ("bilevel", base.convert("1")), ("palette", colours), ("two-colours", base.quantize(2))]:
        save(f"{name}.png", image)
    save("palette-transparent.png", colours, transparency=3)
    save("grey-transparent.png", grey, transparency=128)
    save("rgb.transparent.png", base, transparency=base.getpixel((0, 0)))
    save("rgba.png", with_transparency(base))
    save("grey-alpha.png", with_transparency(base).convert("LA"))
    wide_grey = Image.new("I;16", base.size)
    for y in range(base.height):
        for x in range(base.width):
            wide_grey.putpixel((x, y), 3 * grey.getpixel((x, y)))
    save("grey-16-bit.png", wide_grey)
    save_wide_png(folder / "rgb16.png", base)
    paths.append(folder / "rgb16.png")
    for quality, subsampling in [(95, 0), (85, 1), (75, 2), (30, 2)]:
        save(f"quality-{quality}.jpg", base, quality=quality, subsampling=subsampling)
    save("progressive.jpg", base, quality=85, progressive=True)
    save("grey.jpg", grey, quality=90)
    save("cmyk.jpg", base.convert("CMYK"), quality=90)
    save("odd-edges.jpg", draw(89, 61), quality=80, subsampling=2)
    for orientation in range(2, 9):
        save(f"turned-{orientation}.jpg", base, quality=95, subsampling=0, exif=exif(orientation))
    save("turned-6.png", base, exif=exif(6))
    save("turned-8.webp", base, quality=95, exif=exif(8))
    save("lossy.webp", base, quality=80)
    save("lossless.webp", base, lossless=True)
    save("rgba.webp", with_transparency(base), lossless=True)
    save("rgba-lossy.webp", with_transparency(base), quality=90)
    save("plain.bmp", base)
    save("palette.bmp", colours)
    save("plain.gif", colours)
    save("transparent.gif", colours, transparency=3)
    save("frames.gif", colours, save_all=True, append_images=[base.rotate(90).quantize(16)])
    return paths
