"""What a folder of images holds, by names, folders and a CSV: nothing is decoded here."""
