"""What tests share. It is a package, found before the one of this name that opensimplex, which Crafter needs, installs."""
