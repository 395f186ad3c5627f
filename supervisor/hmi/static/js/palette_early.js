// Before the first paint, so that a night screen never flashes white. A classic script on purpose.
document.documentElement.dataset.palette = localStorage.getItem("toplovod.palette") ?? "day";
