// The page works by its button; this presses it.
document.querySelector("form[data-continue]").submit();
