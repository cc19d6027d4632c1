"""What any sandbox tier must do: two corpora of programs, and a function that holds a tier against them."""
