"""Names and things from which demo data is made."""

from collections.abc import Mapping, Sequence
from typing import Final

FIRST_NAMES: Final = """
    Ada Aisha Alba Amir Anna Arjun Astrid Aylin Ben Bruno Carla Chen Chloé Dana Daniel Diego Dmitri
    Elena Elias Emil Emma Fatima Felix Finn Freya Grace Hana Hiro Hugo Ida Inés Ivan Jan Jonas Julia
    Kaito Kemal Lara Lena Leon Liam Lina Lucía Luis Maja Marek Maria Mateo Mei Mila Nadia Nils Noah
    Olga Omar Oskar Paula Pavel Priya Rosa Samir Sara Sofia Theo Tomás Yara Zoë
""".split()  # noqa: SIM905  Easier to read than a list.
LAST_NAMES: Final = """
    Adler Ahmed Andersen Bakker Bauer Becker Bergström Brown Castro Costa Dahl Demir Dubois Egede
    Eriksson Fischer Fontaine García Gruber Haas Hansen Hoffmann Horváth Ito Ivanova Jansen Kaya
    Keller Khan Kowalski Kumar Larsen Lindqvist López Maier Martin Meyer Moreau Moretti Müller
    Murphy Nakamura Nguyen Novák Okafor Olsen Öztürk Patel Pereira Petrov Popescu Ricci Rossi Santos
    Sato Schneider Silva Singh Smith Suzuki Taylor Tanaka Vargas Weber Wójcik Zhang
""".split()  # noqa: SIM905  The same.
# Departments by their size.
DEPARTMENTS: Final = {
    "Sales": 24,
    "Engineering": 22,
    "Support": 20,
    "Logistics": 16,
    "Finance": 8,
    "Marketing": 6,
    "People": 4,
}
# What things are called, which kinds there are, and what may be said of each.
THINGS: Final[Mapping[str, tuple[Sequence[str], Sequence[str]]]] = {
    "desk": (
        ("Oak", "Walnut", "White", "Standing"),
        ("160 by 80 cm, with a cable tray.", "180 by 80 cm, two drawers.", "140 by 70 cm."),
    ),
    "office chair": (
        ("Mesh", "Leather", "Low-back"),
        ("Armrests and lumbar support.", "Castors for hard floors.", "Seat height 42 to 52 cm."),
    ),
    "desk lamp": (
        ("Brass", "Black", "Clamp-on"),
        ("LED, 9 W, warm white.", "With a green shade.", "Dimmable, with a USB socket."),
    ),
    "filing cabinet": (
        ("Steel", "Two-drawer", "Four-drawer"),
        ("Lockable; two keys.", "For hanging files, A4.", "Fireproof for an hour."),
    ),
    "monitor": (
        ("24-inch", "27-inch", "Curved"),
        ("2560 by 1440, USB-C.", "HDMI and DisplayPort.", "Height and tilt adjustable."),
    ),
    "laptop": (
        ("13-inch", "14-inch", "16-inch"),
        ("16 GB, 512 GB, German keyboard.", "32 GB, 1 TB.", "With a docking station."),
    ),
    "whiteboard": (
        ("Mobile", "Wall-mounted", "Glass"),
        ("180 by 120 cm, magnetic.", "120 by 90 cm.", "With a tray for pens."),
    ),
    "shelf": (
        ("Pine", "Steel", "Corner"),
        ("Five boards, 90 cm wide.", "Bears 80 kg a board.", "Fixed to the wall."),
    ),
    "label printer": (
        ("Thermal", "Portable"),
        ("Rolls of 62 mm.", "Network and USB.", "Cuts by itself."),
    ),
}
# What may be said besides; None stands for no description at all.
REMARKS: Final = (
    " Stands on the second floor.",
    " Kept in the storeroom.",
    " Bought second-hand.",
    " To be checked once a year.",
    "",
    "",
    None,
    None,
)
KINDS: Final = ("chat", "chat", "chat", "summary", "summary", "translation", "search", "export")
