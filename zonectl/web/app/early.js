// Runs before the first paint, so that a chosen theme does not flash in the other one. Everything else is a module.
try {
  const theme = localStorage.getItem('meetzone.theme');
  if (theme === '"dark"' || theme === '"light"') document.documentElement.dataset.theme = theme.slice(1, -1);
} catch {
  // Storage is refused: the system's theme it is.
}
